"""Strokes and edges of MNIST-C, each of which it has in one strength.

Its code is `corruptions.py` of google-research/mnist-c.
"""

from abc import abstractmethod
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from .base import SEVERITIES, ImageCorruption, published
from .draws import Draws
from .edges import canny
from .layers import layer, shrunk
from .weather import grey


class Stripe(ImageCorruption):
    """1 - x in a stripe at the left and one at the right; each a part of the width, of MNIST-C 1/4 (severity 5)."""

    constants = published((0.05, 0.1, 0.15, 0.2, 0.25))

    def corrupted(self, x: Tensor, setting: float, unit: float, draws: Draws) -> Tensor:
        inside = (setting * x.shape[3] - torch.arange(x.shape[3]).to(x)).clamp(0, 1)  # of each column's width
        inside = inside + inside.flip(0)
        return x + inside * (1 - 2 * x)


class Strokes(ImageCorruption):
    """x + lines in white, as many as the severity: MNIST-C has one (severity 1).

    Lines are drawn in 28 x 28 points, or in more where the image has more, and shrink with an image that has fewer.
    """

    constants = published(SEVERITIES)

    def corrupted(self, x: Tensor, setting: int, unit: float, draws: Draws) -> Tensor:
        row, column = (_points(n).to(x) for n in layer(x, unit)[0])
        drawn = torch.stack([*islice(self.lines(row[:, None], column, draws), setting)]).sum(0)
        return x + shrunk(drawn.clamp(max=1)[:, None], x)

    @abstractmethod
    def lines(self, row: Tensor, column: Tensor, draws: Draws) -> Iterator[Tensor]:
        """Five of (B, H, W), at rows (H, 1) and columns (W,) from 0 to 27."""


class DottedLine(Strokes):
    """From row a at the left border to row b at the right one, a and b random; two columns black and two white."""

    def lines(self, row: Tensor, column: Tensor, draws: Draws) -> Iterator[Tensor]:
        left, right = draws.whole(0, 27, 2, len(SEVERITIES)).unbind(1)
        on = (column + 0.5) % 4 >= 2
        for start, end in zip(left.unbind(1), right.unbind(1), strict=True):
            yield _segment(row, column, torch.zeros_like(start), start, torch.full_like(end, 27), end) * on


class Zigzag(Strokes):
    """From column 2 to 25 along a line that falls by -5 to 4 rows: 2 to each side of it, and 4 from turn to turn."""

    def lines(self, row: Tensor, column: Tensor, draws: Draws) -> Iterator[Tensor]:
        starts, falls = (draws.whole(*bounds, len(SEVERITIES)).unbind(1) for bounds in ((0, 27), (-5, 5)))
        for start, fall in zip(starts, falls, strict=True):
            yield _zigzag(row, column, start, fall)


class CannyEdges(ImageCorruption):
    """(1 - s) x + s e, e the edges that Canny's detector finds in the grey image; MNIST-C has e (severity 5)."""

    constants = published((0.2, 0.4, 0.6, 0.8, 1.0))

    def corrupted(self, x: Tensor, setting: float, unit: float, draws: Draws) -> Tensor:
        return (1 - setting) * x + setting * canny(grey(x), unit)


def _points(n: int) -> Tensor:
    """(n,), the middles of n pixels where the border lies at -1/2 and 27 1/2."""
    return (torch.arange(n) + 0.5) * (28 / n) - 0.5


def _segment(row: Tensor, column: Tensor, c0: Tensor, r0: Tensor, c1: Tensor, r1: Tensor) -> Tensor:
    """A line from (r0, c0) to (r1, c1), each (B,), c0 < c1 ─► (B, H, W): 1 + log(1 - d / 2.3), d the rows from it."""
    c0, r0, c1, r1 = (end[:, None, None] for end in (c0, r0, c1, r1))
    apart = (row - r0 - (r1 - r0) / (c1 - c0) * (column - c0)).abs().clamp(max=2.2)  # 1 + log(1 - 2.2 / 2.3) < 0
    between = (column > c0.floor() - 0.5) & (column < c1.ceil() - 0.5)
    return (1 + torch.log(1 - apart / 2.3)).clamp(0, 1) * between


def _zigzag(row: Tensor, column: Tensor, start: Tensor, fall: Tensor) -> Tensor:
    """From (start, 2) to (start + fall, 25), each (B,) ─► (B, H, W)."""
    length = (fall.square() + 23**2).sqrt()  # (B,), from 23 to 23.6
    turns = torch.tensor([(0, 0), (2, 2), (6, -2), (10, 2), (14, -2), (18, 2), (22, -2)]).to(length)
    along, aside = turns.T[:, :, None].expand(-1, -1, len(length))
    along = torch.cat([along, length[None]])
    aside = torch.cat([aside, -1 / (length - 20)[None]])  # where MNIST-C's code ends it
    cosine, sine = 23 / length, fall / length
    columns, rows = 2 + cosine * along - sine * aside, start + sine * along + cosine * aside
    ends = zip(columns, rows, columns[1:], rows[1:], strict=False)
    return torch.stack([_segment(row, column, *end) for end in ends]).sum(0).clamp(max=1)
