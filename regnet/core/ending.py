"""How a command ends: with the exit codes that a shell expects, and quietly where a signal ends it."""

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from .errors import Unwritable

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
AGAIN = 1.0  # seconds in which further signals are the same one: a terminal, a shell and a scheduler each send it
PARENT_IS_LOOKED_FOR = 0.2  # seconds between two looks
NO_READER = 128 + 13  # the exit code of SIGPIPE, which Python turns into an exception


_waiting: list[int] = []  # signals for which `stop_here` is to stop
_waits = False


@contextmanager
def exit_codes() -> Iterator[None]:
    """Ends the program with 128 + the number of the signal that ended the block: Ctrl-C 130, SIGTERM 143, SIGHUP 129.

    The signal raises KeyboardInterrupt or SystemExit in the block, which can so record how far it came. One that was
    ignored before, as under nohup, stays so. The output is a `whole_output`: behind ``| head`` it ends with 141.
    """
    received: list[int] = []
    last = -AGAIN
    _waiting.clear()

    def receive(number: int, _: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        received.append(number)
        if last - before < AGAIN:
            return
        _waiting.append(number)  # in any case: what is raised in a weakref's callback, Python swallows
        if not _waits or len(received) > 1:
            _stop(number)

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    mine = [number for number in SIGNALS if handlers[number] is not signal.SIG_IGN and _takes_signals()]
    for number in mine:
        signal.signal(number, receive)
    try:
        with whole_output():
            yield
            sys.stdout.flush()
    except BaseException as end:  # whatever a library made of the signal, as Lightning makes exit code 1 of Ctrl-C
        if not received and not isinstance(end, KeyboardInterrupt):
            raise
        sys.exit(128 + (received or [signal.SIGINT])[0])
    finally:
        _waiting.clear()
        for number in mine:
            if signal.getsignal(number) is receive:  # the end itself is not disturbed
                signal.signal(number, signal.SIG_IGN if received else handlers[number])


@contextmanager
def whole_output() -> Iterator[None]:
    """Ends the program by SystemExit where its output takes no more: a full disk, or nobody reads any more.

    What trains can so record how far it came: its run is interrupted, it has not failed.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Output(stream or io.StringIO()) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def at_steps() -> Iterator[None]:
    """Within it the first signal waits for `stop_here`, which every step calls; a second one, later on, does not wait.

    Threads write events and batches while a step runs. To stop anywhere can leave a lock taken that they need to end.
    """
    global _waits
    _waits = True
    try:
        yield
    finally:
        _waits = False
        stop_here()


def stop_here() -> None:
    """Stops if a signal has asked for it."""
    if _waiting:
        _stop(_waiting[0])


def end_with(parent: int) -> None:
    """Ends this process, a copy of `parent`, as soon as that has gone, if only by SIGKILL.

    Another process may then take up the work at once.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_IS_LOOKED_FOR)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _stop(number: int) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


class _Output:
    """An output that ends the program where it takes no more, whoever prints."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._ending():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._ending():
            self._stream.flush()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._drop()
            sys.exit(NO_READER)
        except OSError as error:
            self._drop()
            raise Unwritable(f"the output cannot be written ({error.strerror}): send it elsewhere") from error

    def _drop(self) -> None:
        """What is still to be printed goes nowhere, or the end of the program would fail to print it."""
        with suppress(OSError, ValueError):  # not a file
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _takes_signals() -> bool:
    return threading.current_thread() is threading.main_thread()
