"""A person's own images, one folder for each class."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import UserError
from .discovery import Part, find_parts, told
from .duplicates import duplicates
from .pixels import check, read
from .samples import Dataset, LazyImages, Samples


@dataclass(frozen=True)
class ImageFolder:
    """Images ``path/<class>/**``, or ``path/train/<class>/**`` with ``path/val`` or ``path/test`` or both.

    Any usual spelling of these parts is known (see `regnet.data.discovery.find_parts`). A part that is not there is
    split off the training part, so that no image is in two. The classes are in the order of their names, of numbers
    by their value. Each image is scaled and cropped around its centre to (size, size), in 1 (grey) or 3 (colour)
    channels; see `regnet.data.pixels.read` on transparency, 16 bits and several frames.

    Args:
        in_memory: decode all at once, or each when it is needed; None: at once if the pixels take at most
            a quarter of the memory that is free. What is decoded later is checked nevertheless: that each file
            begins as an image and is whole. Damage in its middle stops the run where the image is needed.
    """

    path: str
    size: int
    channels: int = 3
    in_memory: bool | None = None

    def load(self) -> Dataset:
        """Finds the images, and decodes those that are kept in memory.

        Raises:
            UserError: folders, images or classes are missing or ambiguous, or an image cannot be read.
        """
        self._check_settings()
        root = Path(str(self.path)).expanduser()
        if not root.is_dir():
            raise UserError(f"data.path={self.path} is not a folder; give one that holds a folder for each class")
        parts = find_parts(root)
        samples = {name: self._samples(part) for name, part in parts.items()}
        return Dataset(
            samples["train"],
            samples.get("test"),
            tuple(parts["train"].images),
            val=samples.get("val"),
            notes=_notes(root, parts),
        )

    def _check_settings(self) -> None:
        if self.channels not in (1, 3) or type(self.size) is not int or self.size < 1:
            raise UserError(
                f"data.size={self.size}, data.channels={self.channels} must be a number of pixels and 1 or 3"
            )
        if self.in_memory not in (None, True, False):
            raise UserError(f"data.in_memory={self.in_memory} must be true, false or null")

    def _samples(self, part: Part) -> Samples:
        images = Images(part.files, self.size, self.channels)
        y = torch.tensor([i for i, files in enumerate(part.images.values()) for _ in files])
        nbytes = len(y) * self.channels * self.size**2
        if nbytes <= _free_memory() / 4 if self.in_memory is None else self.in_memory:
            return Samples(_decode(images), y)
        for _ in _in_threads(check, images.files):
            pass
        return Samples(images, y)


@dataclass(frozen=True)
class Images:
    """Files, decoded when asked for: ``[i]`` is uint8 (channels, size, size)."""

    files: list[Path]
    size: int
    channels: int

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Tensor:
        return read(self.files[i], self.size, self.channels)


def _decode(images: LazyImages) -> Tensor:
    x = torch.empty(len(images), *images[0].shape, dtype=torch.uint8)  # (N, C, H, W)
    for i, image in enumerate(_in_threads(images.__getitem__, range(len(images)))):
        x[i] = image
    return x


def _in_threads(function: Callable[[Any], Any], values: Iterable[Any]) -> Iterable[Any]:
    """The results in order; after an error the rest is not begun."""
    with ThreadPoolExecutor() as pool:
        try:
            yield from pool.map(function, values)
        finally:
            pool.shutdown(cancel_futures=True)


def _notes(root: Path, parts: dict[str, Part]) -> tuple[str, ...]:
    """What was passed over, and files that are the same."""
    notes = []
    if passed := sum((part.passed for part in parts.values()), Counter()):
        notes.append(f"data.path={root}: passed over {told(passed)}")
    place = {file: (part, name) for part in parts for name, files in parts[part].images.items() for file in files}
    groups = duplicates(place)
    for what, index in (("part", 0), ("class", 1)):
        apart = [group for group in groups if len({place[file][index] for file in group}) > 1]
        if apart:
            one = apart[0][0]
            other = next(file for file in apart[0] if place[file][index] != place[one][index])
            notes.append(
                f"data.path={root}: {len(apart)} images occur in more than one {what}, byte for byte, such as "
                f"{one.relative_to(root)} and {other.relative_to(root)}"
            )
    within = [group for group in groups if len({place[file] for file in group}) == 1]
    if within and len(parts) < 3:
        notes.append(
            f"data.path={root}: {len(within)} images occur more than once in their class, byte for byte, such as "
            f"{within[0][0].relative_to(root)} and {within[0][1].relative_to(root)}: the split may put them into "
            "training and test"
        )
    return tuple(notes)


def _free_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows and macOS do not tell
        return 4 * 2**30
