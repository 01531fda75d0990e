"""The exceptions that a person is told of in one sentence, without a traceback."""

import sysconfig
import traceback
from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path

OF_OTHERS = (Path(__file__).parents[1], *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")))


class UserError(Exception):
    """A mistake that the user can mend, told in one sentence: the key, the value, what would be right."""


class Diverged(Exception):
    """A term of the objective, or a validation metric, is no longer finite; the message says which and when."""


class Unwritable(SystemExit):
    """A file of a run cannot be written. It ends the command as a signal does: to go on would fail at the next file.

    The runs that are cut off so go on with the same command.
    """


def described(error: BaseException) -> str:
    """An error that no class has told as a mistake: its type, its text, and the line of a person's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    text = " ".join(str(error).split())
    if isinstance(error, NotImplementedError) and not text and frames:
        text = f"{frames[-1].name} is not defined"
    text = f"{type(error).__name__}: {text}".removesuffix(": ")
    for frame in reversed(frames):
        file = Path(frame.filename)
        if file.is_absolute() and not any(file.is_relative_to(folder) for folder in OF_OTHERS):
            return f"{text} ({file.name}, line {frame.lineno}, in {frame.name})"
    return text


def near(name: str, options: Iterable[str]) -> str:
    """``; did you mean a or b?`` for the nearest options; nothing where none is close."""
    likeness = {option: SequenceMatcher(None, name.lower(), option.lower()).ratio() for option in options}
    closest = max(likeness.values(), default=0)
    close = [option for option, ratio in likeness.items() if ratio >= max(0.4, closest - 0.05)]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def shown(value: object) -> str:
    """A value as it is typed on the command line: text in quotes where it would be read as something else."""
    from .overrides import as_text

    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return as_text(value) if isinstance(value, str) else str(value)
