"""A person's own images, one folder for each class."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .samples import Dataset, LazyImages, Samples

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}


@dataclass(frozen=True)
class ImageFolder:
    """Images ``path/<class>/**``, or ``path/train/<class>/**`` and ``path/test/<class>/**``.

    Each is scaled and cropped around its centre to (size, size), in 1 (grey) or 3 (colour) channels.

    Args:
        in_memory: decode all at once, or each when it is needed; None: at once if the pixels take at most
            a quarter of the memory that is free.
    """

    path: str
    size: int
    channels: int = 3
    in_memory: bool | None = None

    def load(self) -> Dataset:
        """Finds the images, and decodes those that are kept in memory.

        Raises:
            UserError: folders, images or classes are missing, or an image is damaged.
        """
        if self.channels not in (1, 3) or not isinstance(self.size, int) or self.size < 1:
            raise UserError(
                f"data.size={self.size}, data.channels={self.channels} must be a number of pixels and 1 or 3"
            )
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise UserError(f"data.path={self.path} is not a folder; give one that holds a folder for each class")
        parts = [root / "train", root / "test"]
        if not all(part.is_dir() for part in parts):
            parts = [root]
        classes = _folders(parts[0])
        if len(classes) < 2:
            raise UserError(f"{parts[0]} holds {len(classes)} folder(s) of images; give one for each class, at least 2")
        samples = [self._samples(part, classes) for part in parts]
        return Dataset(samples[0], samples[1] if len(samples) == 2 else None, classes)

    def _samples(self, part: Path, classes: tuple[str, ...]) -> Samples:
        unknown = set(_folders(part)) - set(classes)
        if unknown:
            raise UserError(f"{part} holds class {min(unknown)!r}, of which there are no images for training")
        files = [(file, i) for i, name in enumerate(classes) for file in _images(part / name)]
        if not files:
            raise UserError(f"{part} holds no images; it takes files such as {part / classes[0] / 'a.png'}")
        images = Images([file for file, _ in files], self.size, self.channels)
        y = torch.tensor([i for _, i in files])
        nbytes = len(files) * self.channels * self.size**2
        keep = nbytes <= _free_memory() / 4 if self.in_memory is None else self.in_memory
        return Samples(_decode(images) if keep else images, y)


@dataclass(frozen=True)
class Images:
    """Files, decoded when asked for: ``[i]`` is uint8 (channels, size, size)."""

    files: list[Path]
    size: int
    channels: int

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Tensor:
        from PIL import Image, ImageOps

        try:
            with Image.open(self.files[i]) as image:
                image = ImageOps.exif_transpose(image)  # photos lie on their side without
                if image.mode == "I;16":  # PIL would clip 16 bits to 8, not scale them
                    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
                image = image.convert("L" if self.channels == 1 else "RGB")
                pixels = np.array(ImageOps.fit(image, (self.size, self.size)))
        except (OSError, SyntaxError, ValueError) as error:  # PIL's ways to say that a file is broken
            raise UserError(f"The image {self.files[i]} is damaged; repair or delete it") from error
        return torch.from_numpy(pixels.reshape(self.size, self.size, self.channels)).permute(2, 0, 1).contiguous()


def _decode(images: LazyImages) -> Tensor:
    x = torch.empty(len(images), *images[0].shape, dtype=torch.uint8)  # (N, C, H, W)
    with ThreadPoolExecutor() as pool:
        for i, image in enumerate(pool.map(images.__getitem__, range(len(images)))):
            x[i] = image
    return x


def _folders(path: Path) -> tuple[str, ...]:
    return tuple(sorted(child.name for child in path.glob("[!.]*") if child.is_dir() and _images(child)))


def _images(path: Path) -> list[Path]:
    files = path.rglob("[!.]*")
    return sorted(file for file in files if file.suffix.lower() in SUFFIXES)


def _free_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows and macOS do not tell
        return 4 * 2**30
