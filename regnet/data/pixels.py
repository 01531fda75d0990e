"""From the file of an image to its pixels, whatever its format and mode."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

UNSUITED = {
    *("BUFR", "GRIB", "HDF5", "WMF"),  # which Pillow knows by name only
    *("EPS", "MPEG", "IPTC"),  # a program that Ghostscript runs, a film, a container
}
END = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}  # what a whole file ends with, and what is nowhere within
BITS, PHOTOMETRIC = 258, 262  # tags of a TIFF: the bits of a sample; 0 where white is zero
TAIL = 1024  # bytes, in which cameras and editors add to that end


class UnreadableImage(UserError):
    """An image that cannot be used; one sentence with its file and why.

    torch's DataLoader makes it anew out of its worker's traceback, whose last line is the sentence.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text.strip().splitlines()[-1].removeprefix(f"{__name__}.{type(self).__name__}: "))


@cache
def suffixes() -> dict[str, str]:
    """The format of each suffix that Pillow reads, in lower case, such as ``.png``: ``PNG``."""
    from PIL import Image

    Image.init()
    known = Image.registered_extensions().items()
    return {suffix: name for suffix, name in known if name in Image.OPEN and name not in UNSUITED}


def is_image(file: Path) -> bool:
    """By the suffix; a file without one by its content. A pipe or a device is none: its reader may wait for ever."""
    if file.exists() and not file.is_file():
        return False
    if file.suffix:
        return file.suffix.lower() in suffixes()
    from PIL import Image

    try:
        with Image.open(file, formats=_formats("")):
            return True
    except (OSError, SyntaxError, ValueError):
        return False


def read(file: Path, size: int, channels: int) -> Tensor:
    """uint8 (channels, size, size): scaled and cropped around its centre, 1 (grey) or 3 channels.

    The first frame of several; upright, as its EXIF says; on white where it is transparent. Of 16 bits the
    upper 8 count; real numbers are taken in [0, 1].

    Raises:
        UnreadableImage: the file is damaged, no image, over Pillow's limit, or of values without an agreed range.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=_formats(file.suffix.lower())) as opened:
            image = _eight_bits(ImageOps.exif_transpose(opened), opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            if image.mode != "L":
                image = image.convert("RGB")
            image = image.convert("L" if channels == 1 else "RGB")
            pixels = np.array(ImageOps.fit(image, (size, size)))
    except Exception as error:  # a reader of a broken file raises anything
        raise _unreadable(file, error) from error
    return torch.from_numpy(pixels.reshape(size, size, channels)).permute(2, 0, 1).contiguous()


def check(file: Path) -> None:
    """Whether the image can be read, at a small part of the cost: its head, and that its end is there.

    It is decoded where its format marks no end. Damage in the middle is not seen.

    Raises:
        UnreadableImage: as `read` does.
    """
    from PIL import Image

    try:
        with Image.open(file, formats=_formats(file.suffix.lower())) as image:
            if not _ends(file, image.format):
                _eight_bits(image, image).load()
    except Exception as error:
        raise _unreadable(file, error) from error


@cache
def _formats(suffix: str) -> list[str]:
    """Those to try, in Pillow's order: by what a file begins with, or where a format has no such mark, by suffix."""
    from PIL import Image

    readable = set(suffixes().values())
    marked = {name for name in readable if Image.OPEN[name][1] is not None}
    return [name for name in Image.ID if name in marked or name == suffixes().get(suffix)]


def _eight_bits(image: "Image.Image", opened: "Image.Image") -> "Image.Image":
    """Of 8 bits a channel; Pillow would clip what has more. `opened` is the image as it came from its file.

    Raises:
        ValueError: values whose range nobody can know.
    """
    from PIL import Image

    if image.mode.startswith("I;16"):
        tags = getattr(opened, "tag_v2", {})  # of a TIFF
        values = np.asarray(image) >> tags.get(BITS, (16,))[0] - 8
        return Image.fromarray((255 - values if tags.get(PHOTOMETRIC) == 0 else values).astype(np.uint8))
    if image.mode == "I":
        if opened.format not in ("PPM", "PNG"):  # which hold 16 bits
            raise ValueError("whole numbers of 32 bits have no agreed range; save it with 8 or 16")
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError("real numbers outside [0, 1] have no agreed range; save it with 8 or 16 bits")
        return Image.fromarray(np.round(255 * values).astype(np.uint8))
    return image


def _ends(file: Path, name: str | None) -> bool:
    if name not in END:
        return False
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - TAIL))
        return END[name] in stream.read()


def _unreadable(file: Path, error: Exception) -> UnreadableImage:
    from PIL import Image, UnidentifiedImageError

    limit = Image.MAX_IMAGE_PIXELS
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnreadableImage(f"The image {file} has more pixels than Pillow's limit of {limit:,}; make it smaller")
    if isinstance(error, PermissionError | FileNotFoundError):
        return UnreadableImage(f"The image {file} cannot be opened: {error.strerror}")
    reason = "no image format is known to begin so" if isinstance(error, UnidentifiedImageError) else str(error)
    reason = " ".join((reason or type(error).__name__).split())
    return UnreadableImage(f"The image {file} is damaged, or not to be read as one ({reason}); mend or delete it")
