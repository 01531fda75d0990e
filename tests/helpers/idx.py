"""Files of torchvision's MNIST."""

import struct
from pathlib import Path

import numpy as np


def write_idx(path, array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def write_mnist_like(root, name, n_train=30, n_test=10):
    """The four files that torchvision expects, of small images whose pixels are their label."""
    raw = Path(root) / name / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", n_train), ("t10k", n_test)):
        labels = np.arange(n) % 10
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels)
        write_idx(raw / f"{part}-images-idx3-ubyte", np.broadcast_to(labels[:, None, None], (n, 28, 28)))
    return raw
