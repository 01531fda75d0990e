"""What processes that train tell the process that waits for them, through a pipe."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ..core.errors import Unwritable
from .job import Job, Reporter

SECONDS_TO_RECORD = 60.0  # that a process is given to record that its runs were interrupted

Message = tuple[str, tuple[Any, ...]]  # a method of `Reporter` and its arguments, or how it ended and a text


class PipeReporter:
    """A `Reporter` at the other end of a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.pipe.send((name, arguments))


def relay(message: Message, reporter: Reporter, left: dict[int, Job]) -> None:
    """Passes on to `reporter` what a `PipeReporter` at the other end was told.

    Jobs that have ended, those that others train, and those that cannot be packed, are taken from `left`.

    Raises:
        Unwritable: the other process could not write a file.
        RuntimeError: it raised anything else; with its traceback.
    """
    name, arguments = message
    if name in ("ended", "taken"):
        left.pop(arguments[0])
    elif name == "cannot":
        for number in arguments[0]:
            left.pop(number)
    elif name == "unwritable":
        raise Unwritable(*arguments)
    elif name == "raised":
        raise RuntimeError(*arguments)
    getattr(reporter, name)(*arguments)
