"""What processes that train tell the process that waits for them, through a pipe."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from .job import Job, Reporter

SECONDS_TO_RECORD = 60.0  # that a process is given to record that its runs were interrupted

Message = tuple[str, tuple[Any, ...]]  # a method of `Reporter` and its arguments, or "raised" and the traceback


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
        RuntimeError: the other process raised; with its traceback.
    """
    name, arguments = message
    if name in ("ended", "taken"):
        left.pop(arguments[0])
    elif name == "cannot":
        for number in arguments[0]:
            left.pop(number)
    elif name == "raised":
        raise RuntimeError(*arguments)
    getattr(reporter, name)(*arguments)
