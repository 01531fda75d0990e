"""The samples that are measured, and what a trained network makes of them."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from ..core.tasks import Classification
from ..data import DataModule, Samples
from ..data.moments import input_moments
from ..training.objective import Batch, Objective
from .task_metrics import passed

BLOCK = 100


class Part:
    """Samples, and the objective whose network they are for, which is in evaluation mode, in float32 at least.

    Iterating gives their batches, inputs (B, ...) and targets (B,), on the device.

    Args:
        batches: can be iterated any number of times.
        name: of the split.
        perturb: changes each batch first.
        unit: of each column of a table, such as its standard deviation over the training samples; by default over
            these samples.
    """

    def __init__(
        self,
        objective: Objective,
        batches: Iterable[Batch],
        device: torch.device | str = "cpu",
        name: str = "test",
        perturb: Callable[[Tensor, Tensor], Batch] | None = None,
        unit: Tensor | None = None,
    ) -> None:
        self.objective, self.batches, self.device, self.name, self.perturb = objective, batches, device, name, perturb
        self._unit = unit

    def __iter__(self) -> Iterator[Batch]:
        yield from passed(self.objective, self.batches, self.perturb, self.device, _same)

    @cached_property
    def unit(self) -> Tensor:
        """Of each column, (F,)."""
        if self._unit is not None:
            return self._unit
        return input_moments(Samples(torch.cat([x for x, _ in self]), self.outputs[1]))[1]

    def first(self, most: int | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The batches of the first `most` samples, None for all: inputs, targets and the samples' indices (B,)."""
        seen = 0
        for x, y in self:
            count = len(x) if most is None else min(len(x), most - seen)
            if count <= 0:
                return
            yield x[:count], y[:count], torch.arange(seen, seen + count, device=x.device)
            seen += count

    def blocks(self) -> Iterator[Tensor]:
        """The inputs in blocks of one size, for what draws random numbers block by block."""
        yield from in_blocks(x for x, _ in self)

    @property
    def network(self) -> nn.Module:
        return self.objective.network

    @property
    def classifies(self) -> bool:
        return isinstance(self.objective.loss, Classification)

    @cached_property
    def outputs(self) -> Batch:
        """What the network gives, logits (N, C) of a classification, and the targets (N,).

        Raises:
            ValueError: there are no samples.
        """
        found = list(passed(self.objective, self.batches, self.perturb, self.device, self.network))
        if not found:
            raise ValueError(f"the {self.name} part has no samples to measure")
        outputs, targets = zip(*found, strict=True)
        return torch.cat(outputs), torch.cat(targets)


def unit_of(data: DataModule) -> Tensor | None:
    """The standard deviations of a table's columns over the training samples; None for images and whole numbers."""
    return data.statistics()[1] if len(data.shape) == 1 and data.inputs == "standardize" else None


def in_blocks(inputs: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same inputs, `BLOCK` at a time, whatever batches they come in."""
    left: Tensor | None = None
    for x in inputs:
        left = x if left is None else torch.cat([left, x])
        while len(left) >= BLOCK:
            yield left[:BLOCK]
            left = left[BLOCK:]
    if left is not None and len(left):
        yield left


def _same(x: Tensor) -> Tensor:
    return x
