"""One process at a time in the folder of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import writing

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".lock"
LOOK_AGAIN = 0.2  # seconds


class Taken(Exception):
    """Another process trains this run."""


class FolderLock:
    """Held by one process at a time, until it lets go or dies: the system takes it from a process that was killed.

    The file stays in the folder; that it is there says nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: FileLock | None = None

    def take(self, wait: bool = False) -> bool:
        """Whether this process holds it now; always after it has waited for it. Raises CannotWrite."""
        from filelock import FileLock, Timeout  # a tenth of a second, which `--help` does not need

        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with writing(self.folder / LOCK):
            self._lock = self._lock or FileLock(self.folder / LOCK, poll_interval=LOOK_AGAIN)
            try:
                self._lock.acquire(blocking=wait)
            except Timeout:
                return False
        return True

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def wait_for(folder: Path) -> None:
    """Returns when no process holds the lock of `folder`."""
    lock = FolderLock(folder)
    lock.take(wait=True)
    lock.release()
