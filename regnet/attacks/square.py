"""Square Attack: random search with the logits alone, no gradients."""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import values
from ..core.exact import wide
from .ball import Ball, column, length
from .base import Attack, Norm, Worst
from .draws import Draws
from .victim import Victim

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries, after which p is halved

NOTHING = 1e-3  # of a length: what rounding leaves of less has no direction


class Square(Attack):
    """Tries changes of random squares, and keeps those that raise the margin (Andriushchenko et al. 2020).

    L-inf: the square becomes x ± ε, one sign per channel; at first vertical stripes of ± ε. L2: the change of a second
    square is moved into the first, which becomes a bump of either sign; at first bumps on a grid. The squares cover a
    share p of the image, which is halved after 0.1, 0.5, 2, 5, 10, 20, 40, 60 and 80 % of the queries. Where the
    inputs are no images (C, H, W), a random share p of the features stands for the square, each with its own sign.

    Args:
        queries: forward passes, after the first.
        share: p at first.
        epsilon, norm, bounds, scale, passes, seed: see `Attack`.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        epsilon: float,
        queries: int = 1000,
        share: float = 0.8,
        norm: Norm = "linf",
        bounds: tuple[float, float] | None = None,
        scale: Tensor | float = 1.0,
        passes: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(epsilon, norm, bounds, scale, passes, seed)
        self.queries = values.whole(queries, "queries")
        self.share = values.fraction(share, "share")

    def perturb(self, victim: Victim, ball: Ball, y: Tensor, draws: Draws) -> Tensor:
        regions = _Squares(ball.x) if ball.x.ndim == 4 else _Features(ball.x)
        worst = Worst(ball.x)
        x = _point(ball, regions.first(draws.named("first"), ball.norm) * ball.epsilon)
        worst.see(x, victim.predict(x), y)
        propose, windows = (_replaced, 1) if ball.norm == "linf" else (_moved, 2)
        for query in range(self.queries):
            area = share_at(query, self.queries, self.share)
            change = regions.of(wide(worst.x - ball.x) / ball.scale)  # in units of the scale
            at = [regions.window(draws.named("at", query, n), area, ball.norm) for n in range(windows)]
            signs = regions.signs(draws.named("signs", query))
            x = _point(ball, propose(change, at, signs, column(ball.epsilon, change)).reshape(ball.x.shape))
            worst.see(x, victim.predict(x), y)
        return worst.x


class Window(NamedTuple):
    """Where a change is, 0 or 1, and a bump there of norm 1; (B, 1, H, W)."""

    mask: Tensor
    bump: Tensor


def share_at(query: int, queries: int, share: float) -> float:
    """p of this query: halved at each of `HALVINGS`, as if there were 10,000 queries."""
    return share / 2 ** sum(query * 10_000 // queries > mark for mark in HALVINGS)


def _point(ball: Ball, change: Tensor) -> Tensor:
    """x with a change in units of the scale; of L2 it is made as long as the ball allows."""
    if ball.norm == "l2":
        change = change / torch.maximum(length(change), NOTHING * ball.epsilon) * ball.epsilon
    return ball.project((ball.x + change * ball.scale).to(ball.x.dtype))


def _replaced(change: Tensor, at: Sequence[Window], signs: Tensor, epsilon: Tensor) -> Tensor:
    return torch.where(at[0].mask > 0, signs * epsilon, change)


def _moved(change: Tensor, at: Sequence[Window], signs: Tensor, epsilon: Tensor) -> Tensor:
    """All of the second window's norm, and what is left of ε, goes into the first (their algorithm 3)."""
    one, other = at
    both = torch.maximum(one.mask, other.mask)
    left = (epsilon**2 - length(change) ** 2).clamp(min=0) / change.shape[1]
    room = (left + _norm(change * both) ** 2).sqrt()
    there = change * one.mask
    into = one.bump * signs + there / torch.maximum(_norm(there), NOTHING * epsilon)
    return torch.where(one.mask > 0, into / _norm(into).clamp(min=NOTHING) * room, change * (1 - both))


def _norm(x: Tensor) -> Tensor:
    """Of each channel, (B, C, 1, 1)."""
    return x.flatten(2).norm(dim=2)[:, :, None, None].clamp(min=torch.finfo(x.dtype).tiny)


class _Squares:
    """Squares of images (B, C, H, W)."""

    def __init__(self, x: Tensor) -> None:
        self.shape, self.dtype, self.device = x.shape, wide(x).dtype, x.device

    def of(self, change: Tensor) -> Tensor:
        return change

    def first(self, draws: Draws, norm: str) -> Tensor:
        _, channels, height, width = self.shape
        if norm == "linf":
            return self._signs(draws, channels, 1, width).expand(self.shape)
        side = max(min(height, width) // 5, 1)
        bump = bump_of(side).to(self.device, self.dtype)
        rows, columns = height // side, width // side
        grid = self._signs(draws, channels, rows, columns).repeat_interleave(side, 2).repeat_interleave(side, 3)
        edges = (width - columns * side, height - rows * side)
        return F.pad(grid * bump.repeat(rows, columns), (0, edges[0], 0, edges[1]))

    def signs(self, draws: Draws) -> Tensor:
        return self._signs(draws, self.shape[1], 1, 1)

    def _signs(self, draws: Draws, *shape: int) -> Tensor:
        return _signs(draws, torch.Size(shape), self.dtype)

    def window(self, draws: Draws, area: float, norm: str) -> Window:
        height, width = self.shape[2:]
        least = 1 if norm == "linf" else 3
        side = min(max(round(math.sqrt(area * height * width)), least), height, width)
        start = draws.uniform(torch.Size([3]), self.dtype)
        row, column = (self._from(start[:, i], size, side) for i, size in enumerate((height, width)))
        inside = [((at >= 0) & (at < side)).to(self.dtype) for at in (row, column)]
        mask = (inside[0][:, :, None] * inside[1][:, None])[:, None]
        bump = bump_of(side).to(self.device, self.dtype)
        at = (row.clamp(0, side - 1)[:, :, None], column.clamp(0, side - 1)[:, None])
        turned = torch.where(start[:, 2:, None] < 0.5, bump[at], bump.T[at])
        return Window(mask, turned[:, None] * mask)

    def _from(self, u: Tensor, size: int, side: int) -> Tensor:
        """Each row's, or column's, place within a square that begins at random, (B, size)."""
        first = (u * (size - side + 1)).long()
        return torch.arange(size, device=self.device) - first[:, None]


class _Features:
    """Shares of the features of inputs that are no images, which are seen as (B, 1, 1, D)."""

    def __init__(self, x: Tensor) -> None:
        self.shape, self.dtype = x.shape, wide(x).dtype
        self.features = torch.Size([1, 1, x.shape[1:].numel()])

    def of(self, change: Tensor) -> Tensor:
        return change.reshape(len(change), *self.features)

    def first(self, draws: Draws, norm: str) -> Tensor:
        return self.signs(draws).reshape(self.shape)

    def signs(self, draws: Draws) -> Tensor:
        return _signs(draws, self.features, self.dtype)

    def window(self, draws: Draws, area: float, norm: str) -> Window:
        u = draws.uniform(self.features, self.dtype)
        mask = (u <= u.amin(3, keepdim=True).clamp(min=area)).to(self.dtype)  # one of them at least
        return Window(mask, mask / mask.sum(3, keepdim=True).sqrt())


def _signs(draws: Draws, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    return 1 - 2 * (draws.uniform(shape, dtype) < 0.5).to(dtype)


@cache
def bump_of(side: int) -> Tensor:
    """Two peaks of opposite sign, one in each half, of norm 1 together, (side, side); their equation 2."""
    upper = _peak(side // 2, side)
    both = torch.cat([upper, -_peak(side - side // 2, side)])
    return both / both.norm()


def _peak(height: int, width: int) -> Tensor:
    """Σ 1 / (k + 1)² over rectangles that grow by one on each side about the middle, (height, width)."""
    rows, columns = ((torch.arange(size, dtype=torch.float64) - size // 2).abs() for size in (height, width))
    away = torch.maximum(rows[:, None], columns[None])
    most = max(height, width) // 2 + 1
    inverse = torch.tensor([1 / (k + 1) ** 2 for k in range(most)], dtype=torch.float64)
    within = inverse.flip(0).cumsum(0).flip(0)  # the sum over rectangles that reach so far
    peak = within[away.long().clamp(max=most - 1)]
    return peak / peak.norm() if height else peak
