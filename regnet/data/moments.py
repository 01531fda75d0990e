"""Mean and standard deviation of the training inputs, by which networks normalize them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .samples import Samples

CHUNK = 500
LAZY_IMAGES_READ = 2000  # each is read and decoded from its file


def input_moments(samples: Samples) -> tuple[Tensor, Tensor]:
    """Population mean and standard deviation: (C,) of images in [0, 1], or (F,) of a table.

    Missing values are left out; the standard deviation of a constant is given as 1, the mean of a
    column without any value as 0. Of lazy images the first 2,000 are read.
    """
    x = samples.x
    if not isinstance(x, Tensor) or x.dtype == torch.uint8:
        mean, variance = _of_pixels(_chunks(samples))
    else:
        x = x.double().movedim(1, -1).flatten(0, -2)  # (N, F), or (N*H*W, C) of images
        mean = x.nanmean(0).nan_to_num(0.0)
        variance = (x - mean).square().nanmean(0).nan_to_num(0.0)
    return mean.float(), divisor(mean, variance.sqrt()).float()


def divisor(mean: Tensor, std: Tensor) -> Tensor:
    """What to divide by: std, or 1 where it is no more than rounding of a constant."""
    return torch.where(std > 1e-6 * mean.abs(), std, torch.ones_like(std))


def _of_pixels(chunks: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """Exactly, from how often each channel holds each of the 256 values."""
    found = (torch.stack([channel.flatten().bincount(minlength=256) for channel in x.unbind(1)]) for x in chunks)
    counts = sum(found, torch.zeros((), dtype=torch.int64))
    share = counts.double() / counts.sum(1, keepdim=True)  # (C, 256)
    value = torch.arange(256) / 255.0
    mean = (share * value).sum(1)
    return mean, (share * (value - mean[:, None]).square()).sum(1)


def _chunks(samples: Samples) -> Iterator[Tensor]:
    """uint8 (B, C, H, W)."""
    x = samples.x
    size = len(x) if isinstance(x, Tensor) else min(len(x), LAZY_IMAGES_READ)
    for start in range(0, size, CHUNK):
        part = range(start, min(start + CHUNK, size))
        yield x[part.start : part.stop] if isinstance(x, Tensor) else torch.stack([x[i] for i in part])
