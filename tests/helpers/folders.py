"""Folders of small images, each of another content."""

from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {".jfif": "JPEG", ".jp2": "JPEG2000", "": "PNG"}
numbers = count()


def write(root: Path, *files: str) -> Path:
    """Images; an empty folder for what ends with a slash; text for what is no image."""
    for name in files:
        file = root / name
        folder = file if name.endswith("/") else file.parent
        folder.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() in (".heic", ".txt", ".xml", ".csv", ".db"):
            file.write_text("no image")
        elif file != folder:
            pixels = np.random.default_rng(next(numbers)).integers(0, 255, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file, FORMATS.get(file.suffix.lower()))
    return root


def grid(part: str, n: int = 2, classes: tuple[str, ...] = ("cat", "dog")) -> list[str]:
    """n images of each class: ``part/<class>/<i>.png``."""
    return [f"{part}/{name}/{i}.png" for name in classes for i in range(n)]
