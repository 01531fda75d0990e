"""Canny's edge detector."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from .filters import gaussian

LOW, HIGH = 0.1, 0.2  # of scikit-image, as MNIST-C calls it; its Sobel filters are 8 times the slope per pixel


def canny(x: Tensor, unit: float = 1.0) -> Tensor:
    """Edges, 1 on 0, of grey images (B, 1, H, W) in [0, 1] (Canny 1986), as by scikit-image with its defaults.

    A Gaussian of standard deviation `unit` pixels, which counts nothing beyond the border; slopes g by Sobel's filters,
    times `unit`; pixels where |g| is no less than at either side along g, between pixels by linear interpolation; and
    of those above the lower threshold the ones that touch, one by one, some above the upper. The outermost pixels are
    none.
    """
    smooth = gaussian(x, unit, "constant") / gaussian(torch.ones_like(x), unit, "constant")
    down, right = unit * _sobel(smooth.mT).mT, unit * _sobel(smooth)
    size = (down.square() + right.square()).sqrt()
    edge = _is_ridge(size, down, right) & (size >= LOW)
    edge = pad(edge[..., 1:-1, 1:-1], (1,) * 4)
    return _reached(edge & (size >= HIGH), edge).to(x)


def _sobel(x: Tensor) -> Tensor:
    """(B, 1, H, W): the slope to the right; border pixels count twice."""
    x = pad(x, (1,) * 4, mode="replicate")
    slope = x[..., 2:] - x[..., :-2]
    return slope[..., :-2, :] + 2 * slope[..., 1:-1, :] + slope[..., 2:, :]


def _is_ridge(size: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Where the slope is at least as large as at the two points one pixel away along its direction."""
    steep = down.abs() >= right.abs()
    share = torch.minimum(down.abs(), right.abs()) / torch.maximum(down.abs(), right.abs()).clamp(min=1e-30)
    same = down * right >= 0
    around = pad(size, (1,) * 4)
    height, width = size.shape[2:]

    def at(v: int, u: int) -> Tensor:
        return around[..., 1 + v : 1 + v + height, 1 + u : 1 + u + width]

    ridge = torch.ones_like(steep)
    for way in (-1, 1):
        straight = torch.where(steep, at(way, 0), at(0, way))
        aslant = torch.where(same, at(way, way), torch.where(steep, at(way, -way), at(-way, way)))
        ridge &= share * aslant + (1 - share) * straight <= size
    return ridge


def _reached(start: Tensor, allowed: Tensor) -> Tensor:
    """The allowed pixels that are connected with a start, also over corners."""
    while True:
        wider = _wider(_wider(start).mT).mT & allowed
        if wider.equal(start):
            return start
        start = wider


def _wider(x: Tensor) -> Tensor:  # bool (..., W): by one pixel to the left and to the right
    out = x.clone()
    out[..., 1:] |= x[..., :-1]
    out[..., :-1] |= x[..., 1:]
    return out
