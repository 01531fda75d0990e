"""The page of a study from a process of its own, which has imported what that takes while the runs begin.

SciPy and matplotlib take as long to import as torch does, and the start of a study has but one core at work.
"""

import atexit
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, ClassVar

from ..core.errors import UserError

PROGRAM = "import sys; sys.path[:] = {path!r}; from regnet.report.ahead import main; main()"


class PageProcess:
    """Makes the page of a folder, once, when it is told to; it ends with this process, or when the next one begins.

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
            text=True,
            start_new_session=True,  # out of reach of a terminal's Ctrl-C: the study ends it
        )
        PageProcess.present = self

    def begin(self, folder: Path) -> None:
        with suppress(BrokenPipeError):  # it has ended, as `page` will tell
            _told(self.process.stdin, str(folder))

    def page(self) -> Path:
        """Its path, when it is there. Raises UserError, in one sentence: it could not be made."""
        answer, _ = self.process.communicate()
        if not answer:
            raise UserError(f"the process that makes the page has ended with exit code {self.process.returncode}")
        told = json.loads(answer)
        if "error" in told:
            raise UserError(told["error"])
        return Path(told["page"])

    def leave(self) -> None:
        """Without a page."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@atexit.register
def _leave() -> None:
    if PageProcess.present:
        PageProcess.present.leave()


def main() -> None:
    from ..run.record import runs_in
    from .content import content
    from .figures import draw  # noqa: F401  (imported ahead, as is all that follows from it)
    from .publish import publish

    line = sys.stdin.readline()
    if not line:  # the study has ended without runs, or was stopped
        return
    folder = Path(json.loads(line))
    try:
        answer = {"page": str(publish(content(runs_in([folder])), folder))}
    except Exception as error:
        answer = {"error": str(error)}
    _told(sys.stdout, answer)


def _told(stream: IO[str] | None, what: object) -> None:
    assert stream is not None
    stream.write(json.dumps(what) + "\n")
    stream.flush()
