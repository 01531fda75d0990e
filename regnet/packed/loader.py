"""The batches of K runs, step by step: each run's own order, computed once where runs share it."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.devices import sent
from ..data import DataModule
from ..data.loader import EpochSampler, as_float
from .placed import Placed

Key = tuple[int, int, int]  # the place of the training inputs, their number, the seed of their order
Order = dict[torch.device, Tensor]  # the indices of samples, where these may be


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
        self.placed = Placed(device)
        self._deals: dict[tuple[int, ...], Tensor] = {}
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
        orders: dict[Key, Order] = {}
        keys = [(data.train.tensor.data_ptr(), len(data.train), data.seed) for data in self.data]
        for key, data in zip(keys, self.data, strict=True):
            if key not in orders:
                sampler = EpochSampler(len(data.train), data.seed, shuffle=True)
                sampler.set_epoch(self.epoch)
                order = sampler.order()
                orders[key] = {order.device: order, self.device: sent(order, self.device)}
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
                    index = {
                        keys[k]: {device: order[step * size :][:count] for device, order in orders[keys[k]].items()}
                        for k in rows
                    }
                    parts.append(self._part(rows, [keys[k] for k in rows], index))
            yield parts

    def _part(self, rows: list[int], keys: list[Key], index: dict[Key, Order]) -> Part:
        """The batch of runs `rows`, of which those with the same key have the same inputs."""
        data = [self.data[k] for k in rows]
        first, last = rows[0], rows[-1] + 1
        targets = [(key, one.train.y.data_ptr()) for key, one in zip(keys, data, strict=True)]
        xs = {key: (one.train.tensor, index[key]) for key, one in zip(keys, data, strict=True)}
        ys = {target: (one.train.y, index[target[0]]) for target, one in zip(targets, data, strict=True)}
        x, y = as_float(self._taken([*xs.values()])), self._taken([*ys.values()])  # (U, B, ...), (V, B)
        if len(ys) == 1:
            return Part(first, last, False, x[0], y[0])
        each = x[0].expand(len(rows), *x.shape[1:]) if len(xs) == 1 else self._dealt(x, keys)
        return Part(first, last, True, each, self._dealt(y, targets))

    def _taken(self, wanted: Sequence[tuple[Tensor, Order]]) -> Tensor:
        """The samples of each at its indices, (U, B, ...): at once where all are samples of one tensor."""
        tensors = [self.placed(tensor) for tensor, _ in wanted]
        orders = [order[tensor.device] for tensor, (_, order) in zip(tensors, wanted, strict=True)]
        one = tensors[0]
        if all(tensor is one for tensor in tensors):
            index = torch.cat(orders) if len(orders) > 1 else orders[0]
            taken = sent(one.index_select(0, index), self.device)
            return taken.view(len(wanted), -1, *taken.shape[1:])
        each = [tensor.index_select(0, order) for tensor, order in zip(tensors, orders, strict=True)]
        return torch.stack([sent(tensor, self.device) for tensor in each])

    def _dealt(self, each: Tensor, names: Sequence[Hashable]) -> Tensor:
        """To every run the entry of its name, (K, ...), where each has the entries of the different names."""
        if len(each) == len(names):
            return each
        place = {name: i for i, name in enumerate(dict.fromkeys(names))}
        index = tuple(place[name] for name in names)
        if index not in self._deals:
            self._deals[index] = sent(torch.tensor(index), self.device)
        return each.index_select(0, self._deals[index])
