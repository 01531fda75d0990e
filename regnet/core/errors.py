"""The exceptions that a person is told of in one sentence, without a traceback."""

from collections.abc import Iterable
from difflib import SequenceMatcher


class UserError(Exception):
    """A mistake that the user can mend, told in one sentence: the key, the value, what would be right."""


class Diverged(Exception):
    """A term of the objective, or a validation metric, is no longer finite; the message says which and when."""


class Unwritable(SystemExit):
    """A file of a run cannot be written. It ends the command as a signal does: to go on would fail at the next file.

    The runs that are cut off so go on with the same command.
    """


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
