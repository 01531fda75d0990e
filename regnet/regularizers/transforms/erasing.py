"""Parts of images are erased: an object must be known by any part of it."""

import math
from typing import Literal

import torch
from torch import Tensor

from ...core import hyperparameters, values
from .base import BatchTransform, image_size
from .boxes import boxes, random_pixels

Fill = float | Literal["mean", "random"]


class Erasing(BatchTransform):
    """A rectangle of each image filled, with probability `probability`; subclasses say which rectangle.

    Args:
        probability: that an image is changed, in [0, 1].
        fill: a value in [0, 1], ``mean`` for the batch's mean of each channel, which is about zero where the
            network standardizes its inputs, or ``random`` for a uniform draw from [0, 1] for every pixel.
    """

    stage = BatchTransform.INPUTS

    def __init__(self, probability: float, fill: Fill) -> None:
        super().__init__()
        number = isinstance(fill, int | float) and not isinstance(fill, bool) and 0 <= fill <= 1
        if not number and fill not in ("mean", "random"):
            raise ValueError(f"fill must be mean, random or a number in [0, 1], got {fill!r}")
        self.register_buffer("probability", hyperparameters.ratio(probability, "probability"))
        self.fill = fill

    def boxes(self, count: int, size: tuple[int, int], device: torch.device) -> Tensor:
        """(B, 1, H, W), true where pixels are erased."""
        raise NotImplementedError

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W)
        chosen = torch.rand(len(x), device=x.device) < self.probability
        erased = self.boxes(len(x), image_size(x), x.device) & chosen[:, None, None, None]
        return torch.where(erased, self._filling(x), x), y

    def _filling(self, x: Tensor) -> Tensor | float:
        if self.fill == "mean":
            return x.mean((0, 2, 3), keepdim=True)
        return torch.rand_like(x) if self.fill == "random" else self.fill


class Cutout(Erasing):
    """x̃ = fill in a square of side s · min(H, W) around a random pixel, x elsewhere; s = `size`.

    DeVries & Taylor 2017, section 3.2: the centre may be any pixel, so squares are cut off at the border. As
    there, the default fill is the mean. Their sides: ½ of the image on CIFAR-10, ¼ on CIFAR-100, ⅝ on SVHN.

    Args:
        size: the side as a share of the image's shorter side, in [0, 1]; rounded to whole pixels.
        probability, fill: see `Erasing`.
    """

    def __init__(self, size: float = 0.25, probability: float = 1.0, fill: Fill = "mean") -> None:
        super().__init__(probability, fill)
        self.register_buffer("size", hyperparameters.ratio(size, "size"))

    def boxes(self, count: int, size: tuple[int, int], device: torch.device) -> Tensor:
        side = (self.size * min(size)).round().long()
        return boxes(random_pixels(count, size, device) - side // 2, side.expand(2, count), size)


class RandomErasing(Erasing):
    """x̃ = fill in a random rectangle, x elsewhere (Zhong et al. 2020, algorithm 1).

    Share of the area ~ U(`area`), log of height / width ~ U(log `aspect`), drawn anew until it is smaller than the
    image in both directions (at most ten times, else nothing is erased), anywhere within the image. As
    torchvision's `RandomErasing`, whose `scale` and `ratio` these are, but for the paper's random fill.

    Args:
        probability: that an image is changed, in [0, 1].
        area: least and largest share of the image's area, in (0, 1].
        aspect: least and largest height / width.
        fill: see `Erasing`.
    """

    TRIES = 10

    def __init__(
        self,
        probability: float = 0.5,
        area: tuple[float, float] = (0.02, 0.33),
        aspect: tuple[float, float] = (0.3, 3.3),
        fill: Fill = "random",
    ) -> None:
        super().__init__(probability, fill)
        self.area, self.aspect = _range(area, "area", 1.0), _range(aspect, "aspect", math.inf)

    def boxes(self, count: int, size: tuple[int, int], device: torch.device) -> Tensor:
        height, width = size
        draw = torch.empty(2, self.TRIES, count, device=device)
        area = draw[0].uniform_(*self.area) * height * width
        aspect = draw[1].uniform_(*map(math.log, self.aspect)).exp()
        sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()]).round().long()  # (2, tries, B)
        fits = (sides[0] < height) & (sides[1] < width)
        first = fits.int().argmax(0).expand(2, 1, -1)  # the first of the tries that fits, if any does
        sides = (sides * fits).gather(1, first)[:, 0]  # (2, B)
        room = torch.tensor(size, device=device)[:, None] - sides + 1
        return boxes(torch.randint(2**62, (2, count), device=device) % room, sides, size)


def _range(pair: tuple[float, float], name: str, most: float) -> tuple[float, float]:
    try:
        low, high = (values.positive(end, name) for end in pair)
        right = low <= high <= most
    except (TypeError, ValueError):
        right = False
    if not right:
        limit = "> 0" if most == math.inf else f"in (0, {most:g}]"
        raise ValueError(f"{name} must be two numbers {limit}, the smaller one first, got {pair!r}")
    return low, high
