"""Files are written whole or not at all, and a disk that takes no more ends the command."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import Unwritable, UserError

REMEDIES = {  # of errors that come of writing only, wherever they are raised
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EFBIG: "raise the limit that ulimit -f shows",
    errno.EROFS: "make it writable, or choose another folder",
}


class CannotWrite(OSError):
    """A file or folder, which is its `filename`, cannot be written."""


def write(path: Path, content: bytes | memoryview, sync: bool = False) -> None:
    """Writes the file atomically: a reader sees the old one or the new one, never a part.

    Args:
        sync: when this returns it is on the disk, where it stays if the machine fails.

    Raises:
        CannotWrite: it is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        temporary.unlink(missing_ok=True)
        try:
            with temporary.open("xb") as file:  # never through a link that lies there
                file.write(content)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Removes what `write` left in `folder` where its process was killed."""
    for part in folder.glob(".*.part"):
        part.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises CannotWrite, which names `path`, for any other OSError in the block."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def stops_if_unwritable(folder: Path) -> Iterator[None]:
    """Raises Unwritable for an error in the block that comes of a file that cannot be written.

    Args:
        folder: is named where the error names no file.
    """
    try:
        yield
    except Exception as error:
        if stop := unwritable(error, folder):
            raise stop from error
        raise


@contextmanager
def quiet_threads() -> Iterator[None]:
    """A thread that cannot write prints no traceback: TensorBoard raises its error again where the run logs next."""
    before = threading.excepthook
    threading.excepthook = lambda end: None if unwritable(end.exc_value, Path()) else before(end)
    try:
        yield
    finally:
        threading.excepthook = before


def unwritable(error: BaseException | None, folder: Path) -> Unwritable | None:
    """What tells of the file that cannot be written, if `error` comes of that; else None."""
    cause, seen = error, set()
    while cause is not None and cause not in seen:
        seen.add(cause)
        if isinstance(cause, Unwritable):
            return Unwritable(*cause.args)
        if isinstance(cause, CannotWrite) or (isinstance(cause, OSError) and cause.errno in REMEDIES):
            path = cause.filename2 or cause.filename or folder
            remedy = REMEDIES.get(cause.errno or 0, REMEDIES[errno.EROFS])
            return Unwritable(f"{path} cannot be written ({cause.strerror}): {remedy}")
        if getattr(cause, "sqlite_errorname", None) == "SQLITE_FULL":  # of MLflow's store; it names no file
            return Unwritable(f"the database of a logger cannot be written ({cause}): free some space there")
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def asked_for(option: str, path: Path) -> Iterator[None]:
    """Around the writing of a file that a person named. Raises UserError: it cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{option} {path} cannot be written ({error.strerror}): name a file in a folder that exists."
        ) from error
