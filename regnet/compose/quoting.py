"""What Hydra's grammar and the shell make of an argument, and how it is to be quoted for both."""

import re
import shlex
from collections.abc import Sequence

from ..core.overrides import Override

OPENING, CLOSING = "[{(", "]})"


def unreadable(arguments: Sequence[str]) -> str | None:
    """The sentence for the first of the arguments that Hydra cannot read; None where it reads them all."""
    for place, argument in enumerate(arguments):
        if (reason := _reason(argument)) is not None:
            return _sentence(argument, arguments[place + 1 :], reason)
    return None


def quoted(argument: str) -> str:
    """KEY=VALUE with the value as one text for Hydra, and all of it as one word for the shell."""
    key, _, value = argument.partition("=")
    text = re.sub(r'(\\*)("|$)', lambda m: 2 * m[1] + (r"\"" if m[2] else ""), value).replace("${", r"\${")
    return shlex.quote(f'{key}="{text}"')


def _reason(argument: str) -> str | None:
    try:
        return None if Override.read(argument).key else "a key comes before the ="
    except ValueError as error:
        return re.sub(r" expecting \{.*", "", str(error))


def _sentence(argument: str, rest: Sequence[str], reason: str) -> str:
    key, equals, value = argument.partition("=")
    if not equals:
        hint = f"; write {argument.replace(':', '=', 1)}" if ":" in argument else ""
        return f"{argument!r} cannot be read as KEY=VALUE ({reason}){hint}"
    if not re.fullmatch(r"[+~]{0,2}[\w./@:$-]+", key, re.ASCII):
        return f"{argument!r} cannot be read as KEY=VALUE: {key!r} is no key of a config"
    if _depth(argument) > 0:
        for end in range(1, len(rest) + 1):
            whole = " ".join([argument, *rest[:end]])
            if _depth(whole) == 0:
                return f"the shell has cut {whole} at its spaces; write {shlex.quote(whole)}"
    if " while evaluating " in reason:
        return f"{argument} cannot be read: {reason.partition(': ')[2]}"
    if value[:1] in tuple(OPENING) or re.match(r"\w+\(", value):
        return (
            f"{argument} cannot be read as a list, a mapping or a function ({reason}): its brackets must be closed, "
            f"and all of it quoted for the shell; as plain text it is {quoted(argument)}"
        )
    if value.strip(",") != value:
        return f"{argument} has a comma too many"
    return f"{argument} cannot be read ({reason}): such a text needs quotes, as in {quoted(argument)}"


def _depth(text: str) -> int:
    return sum((char in OPENING) - (char in CLOSING) for char in text)
