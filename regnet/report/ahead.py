"""The report of a study from a process of its own, which has imported what that takes while the runs begin.

SciPy and matplotlib take as long to import as torch does, and the start of a study has but one core at work.
"""

import atexit
import gc
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from ..core.errors import UserError

if TYPE_CHECKING:
    from .content import Content

PROGRAM = "import sys; sys.path[:] = {path!r}; from regnet.report.ahead import main; main()"


class PageProcess:
    """Reads the runs of a folder, once, when it is told to, and makes their page.

    It ends with this process, or when the next one begins.

    Raises:
        OSError: the system starts no further process.
    """

    present: ClassVar["PageProcess | None"] = None

    def __init__(self) -> None:
        if PageProcess.present:  # of a study that has ended otherwise
            PageProcess.present.leave()
        command = [sys.executable, "-c", PROGRAM.format(path=sys.path)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # out of reach of a terminal's Ctrl-C: the study ends it
        )
        PageProcess.present = self

    def begin(self, folder: Path) -> None:
        with suppress(BrokenPipeError):  # it has ended, as `page` will tell
            _tell(self.process.stdin, folder)

    def told(self) -> "Content | None":
        """What the page tells, as soon as that is known; None where the runs could not be read there."""
        return _told(self.process.stdout)

    def page(self) -> Path:
        """Its path, when it is there, after `told`. Raises UserError, in one sentence: it could not be made."""
        found = _told(self.process.stdout)
        self._end()
        if found is None:
            raise UserError(f"the process that makes the page has ended with exit code {self.process.returncode}")
        if isinstance(found, str):
            raise UserError(found)
        return found

    def leave(self) -> None:
        """Without a page."""
        if self.process.poll() is None:
            self.process.kill()
        self._end()

    def _end(self) -> None:
        with suppress(BrokenPipeError), self.process:
            pass  # closes the pipes, and waits for it


@atexit.register
def _leave() -> None:
    if PageProcess.present:
        PageProcess.present.leave()


def main() -> None:
    from ..run.record import runs_in
    from .content import content
    from .figures import draw  # noqa: F401  (imported ahead, as is all that follows from it)
    from .publish import publish

    folder = _told(sys.stdin.buffer)
    if folder is None:  # the study has ended without runs, or was stopped
        return
    gc.disable()  # there is one page to make
    try:
        told = content(runs_in([folder]))
    except Exception:  # which the study's own process will meet again, and tell
        return
    _tell(sys.stdout.buffer, told)
    try:
        page: Path | str = publish(told, folder)
    except Exception as error:
        page = str(error)
    _tell(sys.stdout.buffer, page)


def _tell(stream: IO[bytes] | None, what: object) -> None:
    assert stream is not None
    pickle.dump(what, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _told(stream: IO[bytes] | None) -> Any:
    """What the other process tells next; None where it has ended."""
    assert stream is not None
    try:
        return pickle.load(stream)
    except (EOFError, pickle.UnpicklingError):
        return None
