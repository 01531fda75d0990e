"""Noise."""

from torch import Tensor

from .base import ImageCorruption, published
from .draws import Draws

# Each constant below is that of the function of the same name in `corruptions.py` of google-research/mnist-c (28 px),
# `make_cifar_c.py` (32 px) and `imagenet_c/corruptions.py` (224 px) of hendrycks/robustness.


class GaussianNoise(ImageCorruption):
    """clip(x + σ ε, 0, 1), ε ~ N(0, 1) (Hendrycks and Dietterich 2019, section 4: of low light)."""

    _strong = (0.08, 0.12, 0.18, 0.26, 0.38)
    constants = published(_strong, cifar=(0.04, 0.06, 0.08, 0.09, 0.10))

    def corrupted(self, x: Tensor, setting: float, unit: float, draws: Draws) -> Tensor:
        return x + setting * draws.normal(*x.shape[1:])


class ShotNoise(ImageCorruption):
    """clip(N / n, 0, 1), N ~ Poisson(n x): n photons for a white pixel (Hendrycks and Dietterich 2019, section 4)."""

    _strong = (60, 25, 12, 5, 3)
    constants = published(_strong, cifar=(500, 250, 100, 75, 50))

    def corrupted(self, x: Tensor, setting: int, unit: float, draws: Draws) -> Tensor:
        return draws.poisson(setting * x.double()) / setting


class ImpulseNoise(ImageCorruption):
    """A share of the values becomes 0 or 1, with equal chances: salt and pepper (Hendrycks and Dietterich 2019)."""

    _strong = (0.03, 0.06, 0.09, 0.17, 0.27)
    constants = published(_strong, cifar=(0.01, 0.02, 0.03, 0.05, 0.07))

    def corrupted(self, x: Tensor, setting: float, unit: float, draws: Draws) -> Tensor:
        u = draws.uniform(*x.shape[1:])
        return x.masked_fill(u < setting / 2, 1.0).masked_fill(u >= 1 - setting / 2, 0.0)
