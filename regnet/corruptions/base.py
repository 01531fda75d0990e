"""What a corruption of images is, and how its constants follow the size of the images."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from .draws import Draws

SEVERITIES = (1, 2, 3, 4, 5)


def published(
    mnist: Sequence[Any], cifar: Sequence[Any] | None = None, imagenet: Sequence[Any] | None = None
) -> Mapping[int, Sequence[Any]]:
    """Settings of the severities 1 to 5, by the side of the images that they were published for.

    Args:
        mnist: of MNIST-C's code, 28 pixels.
        cifar: of CIFAR-10-C's, 32 pixels; None for kinds that are MNIST-C's alone.
        imagenet: of ImageNet-C's, 224 pixels; None where MNIST-C's code has the same.
    """
    return {28: mnist} if cifar is None else {28: mnist, 32: cifar, 224: imagenet or mnist}


class ImageCorruption(ABC):
    """(images, severity, random numbers) ─► images of the same shape, which may leave [0, 1] and are clipped.

    An image takes the settings of the side nearest to its own (as a ratio), and lengths in pixels are multiplied by
    `unit` = min(H, W) / that side. So images of 28 pixels are corrupted as by MNIST-C's code, of 32 as in CIFAR-10-C
    and of 224 as in ImageNet-C, where those have the kind.
    """

    constants: ClassVar[Mapping[int, Sequence[Any]]]

    def __call__(self, x: Tensor, severity: int, draws: Draws) -> Tensor:
        """(B, C, H, W) in [0, 1], severity from 1 to 5 ─► the same."""
        side = min(x.shape[2:])
        nearest = min(self.constants, key=lambda other: abs(math.log(side / other)))
        setting = self.constants[nearest][severity - 1]
        return self.corrupted(x, setting, side / nearest, draws).clamp(0, 1)

    @abstractmethod
    def corrupted(self, x: Tensor, setting: Any, unit: float, draws: Draws) -> Tensor: ...
