"""The corruptions of images by name."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from ..core.values import one_of, whole
from .base import SEVERITIES, ImageCorruption
from .blur import DefocusBlur, GlassBlur, MotionBlur, ZoomBlur
from .digital import JPEG, Contrast, Pixelate
from .draws import Draws
from .geometry import Elastic, Rotate, Scale, Shear, Translate
from .noise import GaussianNoise, ImpulseNoise, ShotNoise
from .strokes import CannyEdges, DottedLine, Stripe, Zigzag
from .weather import Brightness, Fog, Frost, Snow, Spatter

CORRUPTIONS: Mapping[str, ImageCorruption] = MappingProxyType(
    {
        "gaussian_noise": GaussianNoise(),
        "shot_noise": ShotNoise(),
        "impulse_noise": ImpulseNoise(),
        "defocus_blur": DefocusBlur(),
        "glass_blur": GlassBlur(),
        "motion_blur": MotionBlur(),
        "zoom_blur": ZoomBlur(),
        "snow": Snow(),
        "frost": Frost(),
        "fog": Fog(),
        "brightness": Brightness(),
        "contrast": Contrast(),
        "elastic": Elastic(),
        "pixelate": Pixelate(),
        "jpeg": JPEG(),
        "shear": Shear(),
        "scale": Scale(),
        "rotate": Rotate(),
        "translate": Translate(),
        "stripe": Stripe(),
        "spatter": Spatter(),
        "dotted_line": DottedLine(),
        "zigzag": Zigzag(),
        "canny_edges": CannyEdges(),
    }
)

COMMON = tuple(CORRUPTIONS)[:15]  # of Hendrycks and Dietterich 2019, in the order of their table 1

# of Mu and Gilmer 2019, each with the severity that its code takes by default
MNIST_C: Mapping[str, int] = MappingProxyType(
    {
        "shot_noise": 5,
        "impulse_noise": 4,
        "glass_blur": 1,
        "motion_blur": 1,
        "shear": 2,
        "scale": 3,
        "rotate": 2,
        "brightness": 5,
        "translate": 3,
        "stripe": 5,
        "fog": 5,
        "spatter": 2,
        "dotted_line": 1,
        "zigzag": 1,
        "canny_edges": 5,
    }
)


@torch.no_grad()
def corrupt(x: Tensor, kind: str, severity: int, seed: int = 0, first: int = 0) -> Tensor:
    """Images (B, C, H, W) in [0, 1], corrupted: of the same shape and precision, in [0, 1].

    Args:
        x: float32 or float64, of at least 8 x 8 pixels and any number of channels.
        kind: of `CORRUPTIONS`.
        severity: from 1 to 5; 0 for x as it is.
        seed: of the random numbers; those of image i follow from the seed, the kind and `first` + i.
        first: the index of the first image among all of the data.

    Raises:
        ValueError: one of these is not so.

    >>> x = torch.rand(4, 1, 28, 28)
    >>> worse = corrupt(x, "motion_blur", severity=3)
    >>> worse[2:].equal(corrupt(x[2:], "motion_blur", severity=3, first=2))
    True
    """
    one_of(kind, "kind", CORRUPTIONS)
    whole(severity, "severity", least=0, most=SEVERITIES[-1])
    whole(first, "first", least=0)
    if x.ndim != 4 or x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"x must be images (B, C, H, W) of float32 or float64, got {[*x.shape]} of {x.dtype}")
    if min(x.shape[2:]) < 8 or not x.shape[1]:
        raise ValueError(f"x must have a channel and at least 8 x 8 pixels, got {[*x.shape]}")
    if not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"x must be in [0, 1], got values from {x.min().item():g} to {x.max().item():g}")
    if severity == 0 or not len(x):
        return x.clone()
    return CORRUPTIONS[kind](x, severity, Draws(seed, kind, first, x))
