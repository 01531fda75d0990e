"""The process in which packs are trained: it imports torch while Hydra still composes the jobs."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NoReturn

from .job import Job, Reporter
from .pipes import SECONDS_TO_RECORD, Message, PipeReporter, relay


class Helper:
    """A copy of this process, forked before it has any thread, that imports and then trains what it is sent.

    A study of 64 runs, 9 s of which 4 are imports, takes 1.3 s less: composing and the end of a program with torch
    in it cost nothing any more.
    """

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self.pipe.close()
            _serve(theirs)
        theirs.close()

    def train(self, jobs: Sequence[Job], size: int | None, reporter: Reporter) -> None:
        """As `workers.train`; should the helper be killed, this process takes its place."""
        left = {job.number: job for job in jobs}
        try:
            for message in self._messages(jobs, size):
                relay(message, reporter, left)
        except EOFError:
            if not left:
                return
            from ..commands.train import settle

            settle()
            from .workers import train

            reporter.say("packed: the process that trains was killed; the one that waits for it goes on")
            train(list(left.values()), size, reporter)
        except (KeyboardInterrupt, SystemExit):
            os.kill(self.pid, signal.SIGINT)
            with suppress(EOFError, ConnectionResetError):
                while self.pipe.poll(SECONDS_TO_RECORD):
                    self.pipe.recv()
            raise

    def _messages(self, jobs: Sequence[Job], size: int | None) -> Iterator[Message]:
        """What the helper tells of these jobs. Raises EOFError: it is gone."""
        try:
            self.pipe.send((list(jobs), size))
            from ..report import table  # noqa: F401  (while the helper is at work, what the study's end needs)

            while (message := self.pipe.recv())[0] != "done":
                yield message
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EOFError from error


def _serve(pipe: Connection) -> NoReturn:
    os.setpgid(0, 0)  # the terminal interrupts the parent alone, which passes it on
    try:
        from ..commands.train import settle

        settle()
        from .pack import SharedData
        from .workers import train

        data = SharedData()
        while True:
            jobs, size = pipe.recv()
            try:
                train(jobs, size, PipeReporter(pipe), data)
            except (BrokenPipeError, ConnectionError):
                raise
            except Exception:
                pipe.send(("raised", (traceback.format_exc(),)))
            pipe.send(("done", ()))
    except (EOFError, OSError, KeyboardInterrupt, SystemExit):  # interrupted, or there is nobody left to tell
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
