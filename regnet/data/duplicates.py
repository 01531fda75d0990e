"""Files of the same content: the same image in two classes, or in training and test."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

HEAD = 4096  # bytes


def duplicates(files: Iterable[Path]) -> list[list[Path]]:
    """Groups of files that are the same byte by byte; only those of one size, and of one beginning, are read."""
    groups = [list(files)]
    for key in (_size, _head, _content):
        groups = [part for group in groups for part in _parted(group, key) if len(part) > 1]
    return groups


def _parted(files: Sequence[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    parts: dict[Hashable, list[Path]] = {}
    for file in files:
        parts.setdefault(key(file), []).append(file)
    return list(parts.values())


def _size(file: Path) -> int:
    return file.stat().st_size


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(HEAD)


def _content(file: Path) -> bytes:
    with file.open("rb") as stream:
        digest = blake2b()
        while piece := stream.read(1 << 20):
            digest.update(piece)
        return digest.digest()
