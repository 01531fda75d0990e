"""Weather, and light. The constants have the sources that `noise.py` names."""

import math

import torch
from torch import Tensor

from .base import ImageCorruption, published
from .draws import Draws
from .filters import gaussian, motion, zoom
from .layers import layer, shrunk


class Brightness(ImageCorruption):
    """The value V = max over the channels becomes min(V + c, 1), hue and saturation stay (Hendrycks 2019).

    x' = x V' / V, and V' in every channel where V = 0. Of one channel that is min(x + c, 1).
    """

    _strong = (0.1, 0.2, 0.3, 0.4, 0.5)
    constants = published(_strong, cifar=(0.05, 0.1, 0.15, 0.2, 0.3))

    def corrupted(self, x: Tensor, setting: float, unit: float, draws: Draws) -> Tensor:
        value = x.amax(1, keepdim=True)
        brighter = (value + setting).clamp(max=1)
        return torch.where(value > 0, x * (brighter / value), brighter)


class Fog(ImageCorruption):
    """(x + c f) m / (m + c), m = max x of the image: f in [0, 1] is a plasma fractal (Hendrycks 2019, section 4).

    Settings: (c, decay). `plasma` has the map of the least power of two that covers the image, as for CIFAR-10-C;
    MNIST-C cuts its 28 pixels out of a map of 256.
    """

    _strong = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))
    constants = published(_strong, cifar=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)))

    def corrupted(self, x: Tensor, setting: tuple[float, float], unit: float, draws: Draws) -> Tensor:
        thickness, decay = setting
        fog = plasma(draws, max(x.shape[2:]), decay)[:, None, : x.shape[2], : x.shape[3]]
        most = x.amax((1, 2, 3), keepdim=True)
        return (x + thickness * fog) * (most / (most + thickness))


class Frost(ImageCorruption):
    """a x + b f, f a texture of ice (Hendrycks and Dietterich 2019, section 4, with photographs of ice instead).

    Settings: (a, b). f = (1 + r²) / 2, r the mean of two ridges 1 - |2 f_j - 1|^½ of plasma fractals f_j: bright veins
    on grey, of about the mean (0.64) and spread within an image (0.08) of the published photographs.
    """

    constants = published(
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        cifar=((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    )

    def corrupted(self, x: Tensor, setting: tuple[float, float], unit: float, draws: Draws) -> Tensor:
        return setting[0] * x + setting[1] * ice(draws, *x.shape[2:])


class Snow(ImageCorruption):
    """Flakes that fall, and a whiter picture (Hendrycks and Dietterich 2019, section 4).

    w x + (1 - w) max(x, 3/2 grey(x) + 1/2) + s + s turned by 180°. s is N(μ, σ²) for each pixel, enlarged z times, 0
    below θ, and blurred along a line at an angle uniform in [-135°, -45°]. Settings: (μ, σ, z, θ, radius, σ of the
    line, w).
    """

    _strong = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )
    constants = published(
        _strong,
        cifar=(
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    )

    def corrupted(self, x: Tensor, setting: tuple[float, ...], unit: float, draws: Draws) -> Tensor:
        mean, spread, size, threshold, radius, length, kept = setting
        shape, unit = layer(x, unit)
        flakes = zoom(mean + spread * draws.normal(1, *shape), size * unit)
        flakes = flakes.masked_fill(flakes < threshold, 0).clamp(0, 1)
        angle = -math.radians(135) + math.radians(90) * draws.uniform()
        flakes = shrunk(motion(flakes, radius * unit, length * unit, angle), x)
        white = torch.maximum(x, 1.5 * grey(x) + 0.5)
        return kept * x + (1 - kept) * white + flakes + flakes.flip(2, 3)


class Spatter(ImageCorruption):
    """Drops of mud: (1 - m) x + m / 4 (Mu and Gilmer 2019).

    m is where N(μ, σ²), convolved with a Gaussian of standard deviation s, exceeds θ; convolved with one of r, and 0
    where then below 0.8. Settings: (μ, σ, s, θ, r), in order of their effect: published ones are 1 4 2 5 3. σ follows
    the size as s and r do: the mud covers as much.
    """

    constants = published(
        (
            (0.65, 0.3, 4, 0.69, 0.6),
            (0.65, 0.3, 1, 0.65, 1.5),
            (0.65, 0.3, 3, 0.68, 0.6),
            (0.67, 0.4, 1, 0.65, 1.5),
            (0.65, 0.3, 2, 0.68, 0.5),
        )
    )

    def corrupted(self, x: Tensor, setting: tuple[float, ...], unit: float, draws: Draws) -> Tensor:
        mean, spread, smooth, threshold, rim = setting
        shape, unit = layer(x, unit)
        liquid = gaussian(mean + spread * unit * draws.normal(1, *shape), smooth * unit)
        mud = gaussian((liquid > threshold).to(x), rim * unit)
        mud = shrunk(mud.masked_fill(mud < 0.8, 0), x)
        return x * (1 - mud) + mud * (63 / 255)


def grey(x: Tensor) -> Tensor:
    """(B, C, H, W) ─► (B, 1, H, W): the luma of three channels (ITU-R BT.601), the mean of another number of them."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    red, green, blue = x.split(1, 1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def plasma(draws: Draws, side: int, decay: float) -> Tensor:
    """(B, n, n) in [0, 1], n the least power of two >= side: a plasma fractal by diamond and square (Fournier 1982).

    Each point is the mean of four about it plus noise uniform in [-a, a], and a is divided by decay² from one scale to
    the next. The map is periodic; its least value is 0 and its largest 1.
    """
    step = n = 2 ** math.ceil(math.log2(side))
    noise = 2 * draws.uniform(n, n) - 1
    height, amplitude = torch.zeros_like(noise), 1.0
    while step > 1:
        half = step // 2
        corners = height[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        middles = (pairs + pairs.roll(-1, 2)) / 4 + amplitude * noise[:, half::step, half::step]
        across, down = (corners + corners.roll(-1, 2)), pairs
        height[:, half::step, half::step] = middles
        height[:, ::step, half::step] = (across + middles + middles.roll(1, 1)) / 4
        height[:, ::step, half::step] += amplitude * noise[:, ::step, half::step]
        height[:, half::step, ::step] = (down + middles + middles.roll(1, 2)) / 4
        height[:, half::step, ::step] += amplitude * noise[:, half::step, ::step]
        step, amplitude = half, amplitude / decay**2
    height -= height.amin((1, 2), keepdim=True)
    return height / height.amax((1, 2), keepdim=True)


def ice(draws: Draws, height: int, width: int) -> Tensor:  # (B, 1, H, W)
    first, second = (1 - (2 * plasma(draws, max(height, width), 1.5) - 1).abs().sqrt() for _ in range(2))
    texture = (1 + ((first + second) / 2).square()) / 2
    return texture[:, None, :height, :width]
