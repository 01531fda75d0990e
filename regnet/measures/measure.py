"""Measures: what is found out of a trained network, and when."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import torch

from ..core.errors import shown
from ..core.metrics import Scale
from ..core.seeds import bookmark
from ..data import DataModule
from .part import Part

WHEN = ("end", "epoch")

Column = Sequence[float | None] | Sequence[str]


class Found(NamedTuple):
    """What a measure found: numbers under the names of its `scales`, and series for pictures.

    A series has columns of one length: two are a curve of the second over the first, three a heatmap of the third.
    """

    numbers: dict[str, float]
    series: Mapping[str, Mapping[str, Column]] = {}


class Measure(ABC):
    """(trained objective, samples) ─► named numbers, and series for pictures.

    The network is left as it was, and so are torch's random numbers: what a measure draws follows from its own seed
    and the samples, whatever the size of the batches.

    Args:
        at: ``end``, of the chosen epoch; or ``epoch``, in each validation, so that a monitor can choose by it.
    """

    classifies_only: ClassVar[bool] = True  # whether it has no meaning for a regression

    def __init__(self, at: str = "end") -> None:
        if at not in WHEN:
            raise ValueError(f"at={shown(at)} must be one of {', '.join(WHEN)}")
        self.at = at

    @property
    @abstractmethod
    def scales(self) -> Mapping[str, Scale]:
        """The names of its numbers, and which way each is better."""

    def check(self, data: DataModule) -> None:
        """Raises ValueError where it has no meaning for these data."""
        if self.classifies_only and data.task != "classification":
            raise ValueError(f"{type(self).__name__} measures classifications, and the data are a regression")

    @abstractmethod
    def measure(self, part: Part, val: Part) -> Found:
        """What is found of the network on `part`.

        Args:
            val: the samples on which something may be fitted, such as a temperature.
        """

    def __call__(self, part: Part, val: Part) -> Found:
        """As `measure`.

        Raises:
            ValueError: the part has no samples, or the measure has no meaning there.
        """
        if self.classifies_only and not part.classifies:
            raise ValueError(f"{type(self).__name__} measures classifications, and this is a regression")
        with _left_alone(part):
            if not len(part.outputs[1]):
                raise ValueError(f"the {part.name} part has no samples to measure")
            return self.measure(part, val)


@contextmanager
def _left_alone(part: Part) -> Iterator[None]:
    """Random numbers are as before afterwards; gradients may be taken inside, even in a validation of Lightning."""
    rewind = bookmark(torch.device(part.device))
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        rewind()
