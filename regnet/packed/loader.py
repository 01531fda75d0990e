"""The batches of K runs, step by step: each run's own order, computed once where runs share it."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from ..data import DataModule
from ..data.loader import EpochSampler, as_float, fits


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

    To Lightning an epoch is a single batch, all of its steps in turn: its hooks would take 0.7 ms for each.

    Runs with fewer samples have fewer steps, and rest while others go on. Runs whose batches are of different
    length at a step, as the last ones of different training sets, are different parts.
    """

    batch_sampler = None  # Lightning asks whatever has a sampler for it

    def __init__(self, data: Sequence[DataModule], device: torch.device) -> None:
        self.data, self.device = list(data), device
        self.epoch = 0
        self._places: dict[tuple[int, int], Tensor] = {}
        self.sampler = self  # which Lightning tells the epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def keep(self, index: Tensor) -> None:
        self.data = [self.data[k] for k in index.tolist()]

    def steps(self, k: int) -> int:
        """Of an epoch of run k."""
        return self.data[k].batches()

    def most_steps(self) -> int:
        """Of an epoch of the run that has most."""
        return max(self.steps(k) for k in range(len(self.data)))

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Iterator[list[Part]]]:
        yield self._epoch()

    def _epoch(self) -> Iterator[list[Part]]:
        # one order for runs with the same data and seed, so that they share their batches
        orders: dict[tuple[int, int, int], Tensor] = {}
        keys = [(data.train.tensor.data_ptr(), len(data.train), data.seed) for data in self.data]
        for key, data in zip(keys, self.data, strict=True):
            if key not in orders:
                sampler = EpochSampler(len(data.train), data.seed, shuffle=True)
                sampler.set_epoch(self.epoch)
                orders[key] = sampler.order().to(self.device)
        steps = [self.steps(k) for k in range(len(self.data))]
        size = self.data[0].batch_size

        def length(k: int, step: int) -> int:
            return min(size, len(self.data[k].train) - step * size) if step < steps[k] else 0

        for step in range(self.most_steps()):
            parts = []
            lengths = [length(k, step) for k in range(len(self.data))]
            for count, runs in groupby(range(len(self.data)), key=lengths.__getitem__):
                if count:
                    rows = list(runs)
                    index = {keys[k]: orders[keys[k]][step * size :][:count] for k in rows}
                    parts.append(self._part(rows, [keys[k] for k in rows], index))
            yield parts

    def _part(self, rows: list[int], keys: list[tuple[int, int, int]], index: dict[tuple, Tensor]) -> Part:
        """The batch of runs `rows`, of which those with the same key have the same inputs."""
        data = [self.data[k] for k in rows]
        first, last = rows[0], rows[-1] + 1
        xs = {
            key: as_float(self._take(one.train.tensor, index[key]))
            for key, one in dict(zip(keys, data, strict=True)).items()
        }
        targets: dict[tuple, Tensor] = {}
        for key, one in zip(keys, data, strict=True):
            place = key, one.train.y.data_ptr()
            if place not in targets:
                targets[place] = self._take(one.train.y, index[key])
        if len(targets) == 1:
            return Part(first, last, False, *xs.values(), *targets.values())
        y = torch.stack([targets[key, one.train.y.data_ptr()] for key, one in zip(keys, data, strict=True)])
        if len(xs) == 1:
            (x,) = xs.values()
            return Part(first, last, True, x.expand(len(rows), *x.shape), y)
        return Part(first, last, True, torch.stack([xs[key] for key in keys]), y)

    def _take(self, tensor: Tensor, index: Tensor) -> Tensor:
        placed = self._place(tensor)
        return placed.index_select(0, index.to(placed.device)).to(self.device)

    def _place(self, tensor: Tensor) -> Tensor:
        """On the device, once."""
        if tensor.device == self.device:
            return tensor
        place = tensor.data_ptr(), len(tensor)  # a smaller training set begins where the whole one does
        if place not in self._places:
            self._places[place] = tensor.to(self.device) if fits(tensor.nbytes, self.device) else tensor
        return self._places[place]
