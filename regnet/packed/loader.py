"""The batches of K runs, step by step: each run's own order, computed once where runs share it."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from ..data import DataModule
from ..data.loader import EpochSampler, as_float


class Part(NamedTuple):
    """One step's batch of neighbouring runs, which are `stacked` (K, B, ...) or the same for all (B, ...)."""

    first: int
    last: int  # exclusive
    stacked: bool
    x: Tensor
    y: Tensor

    @property
    def rows(self) -> slice:
        return slice(self.first, self.last)


class PackedLoader:
    """For every step of an epoch the parts of the pack that still have a batch.

    Runs with fewer samples have fewer steps, and rest while others go on. Runs whose batches are of different
    length at a step, as the last ones of different training sets, are different parts.
    """

    batch_sampler = None  # Lightning asks whatever has a sampler for it

    def __init__(self, data: Sequence[DataModule], device: torch.device) -> None:
        self.data, self.device = list(data), device
        self.epoch = 0
        self._places: dict[int, Tensor] = {}
        self.sampler = self  # which Lightning tells the epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def keep(self, index: Tensor) -> None:
        self.data = [self.data[k] for k in index.tolist()]

    def steps(self, k: int) -> int:
        """Of an epoch of run k."""
        full, rest = divmod(len(self.data[k].train), self.data[k].batch_size)
        alone = rest == 1 and self.data[k].batch_size > 1  # batch norm cannot train on a single sample
        return full + (rest > 0 and not alone)

    def __len__(self) -> int:
        return max(self.steps(k) for k in range(len(self.data)))

    def __iter__(self) -> Iterator[list[Part]]:
        # one order for runs with the same data and seed, so that equal batches are recognized
        orders: dict[tuple[int, int, int], Tensor] = {}
        keys = []
        for data in self.data:
            key = (data.train.x.data_ptr(), len(data.train), data.seed)
            if key not in orders:
                sampler = EpochSampler(len(data.train), data.seed, shuffle=True)
                sampler.set_epoch(self.epoch)
                orders[key] = sampler.order().to(self.device)
            keys.append(key)
        steps = [self.steps(k) for k in range(len(self.data))]
        size = self.data[0].batch_size

        def length(k: int, step: int) -> int:
            return min(size, len(self.data[k].train) - step * size) if step < steps[k] else 0

        for step in range(len(self)):
            parts = []
            for count, runs in groupby(range(len(self.data)), key=lambda k, step=step: length(k, step)):
                if count:
                    rows = list(runs)
                    parts.append(self._part(rows, [orders[keys[k]][step * size :][:count] for k in rows]))
            yield parts

    def _part(self, rows: list[int], index: list[Tensor]) -> Part:
        first, last = rows[0], rows[-1] + 1
        data = [self.data[k] for k in rows]
        same_x = all(i is index[0] or torch.equal(i, index[0]) for i in index[1:])
        same_x &= len({one.train.x.data_ptr() for one in data}) == 1
        same_y = same_x and len({one.train.y.data_ptr() for one in data}) == 1
        y = [self._take(one.train.y, i) for one, i in zip(data[:1] if same_y else data, index, strict=False)]
        x = [self._take(one.train.x, i) for one, i in zip(data[:1] if same_x else data, index, strict=False)]
        stacked = not same_y
        xs, ys = torch.stack(x) if len(x) > 1 else x[0], torch.stack(y) if len(y) > 1 else y[0]
        if stacked and same_x:
            xs = xs.expand(len(rows), *xs.shape)
        elif stacked and len(rows) == 1:
            xs, ys = xs[None], ys[None]
        return Part(first, last, stacked, as_float(xs), ys)

    def _take(self, tensor: Tensor, index: Tensor) -> Tensor:
        return self._place(tensor).index_select(0, index)

    def _place(self, tensor: Tensor) -> Tensor:
        """On the device, once."""
        if tensor.device == self.device:
            return tensor
        if tensor.data_ptr() not in self._places:
            self._places[tensor.data_ptr()] = tensor.to(self.device)
        return self._places[tensor.data_ptr()][: len(tensor)]
