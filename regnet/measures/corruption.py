"""Corruption: what is left of the accuracy on worse inputs."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..core import values
from ..core.errors import shown
from ..core.metrics import Scale
from ..corruptions import COMMON, CORRUPTIONS, MNIST_C, TABLE_CORRUPTIONS, corrupt, corrupt_table
from ..data import DataModule
from .measure import Column, Found, Measure
from .part import Part

SETS = ("common", "mnist_c")


class Corruption(Measure):
    """The mean accuracy over kinds of corruption, and over their severities.

    ``corruption_accuracy``; ``corruption_drop``, how much less that is than the clean accuracy of the same samples.
    The errors by kind and severity are left as a table. `regnet.corruptions` has the mean corruption errors, which
    compare two networks (Hendrycks and Dietterich 2019).

    Args:
        kinds: of images ``common``, the fifteen of Hendrycks and Dietterich 2019, ``mnist_c``, those of MNIST-C (Mu
            and Gilmer 2019) at its severities, or a list of names; of tables all, or a list of names.
        severities: from 1 to 5, of all kinds but MNIST-C's.
        samples: that are corrupted, the first of each part; None for all.
        seed: of what is drawn.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        kinds: str | Sequence[str] = "common",
        severities: Sequence[int] = (1, 3, 5),
        samples: int | None = 1000,
        seed: int = 0,
        at: str = "end",
    ) -> None:
        super().__init__(at)
        if isinstance(kinds, str):
            values.one_of(kinds, "kinds", SETS)
        elif not kinds:
            raise ValueError("kinds must be common, mnist_c or a list of one name or more")
        for kind in [] if isinstance(kinds, str) else kinds:
            values.one_of(kind, "kinds", {**CORRUPTIONS, **TABLE_CORRUPTIONS})
        if not severities:
            raise ValueError(f"severities={shown([*severities])} must be a list of whole numbers from 1 to 5")
        self.severities = [values.whole(one, "severities", most=5) for one in severities]
        self.kinds, self.seed = kinds, values.whole(seed, "seed", least=0)
        self.samples = None if samples is None else values.whole(samples, "samples")

    @property
    def scales(self) -> Mapping[str, Scale]:
        return {"corruption_accuracy": Scale("max", 0, 1), "corruption_drop": Scale("min", -1, 1)}

    def check(self, data: DataModule) -> None:
        super().check(data)
        if not data.example.is_floating_point() or len(data.shape) not in (1, 3):
            raise ValueError("Corruption is for images and for tables of numbers")
        self._settings(len(data.shape) == 3)

    def measure(self, part: Part, val: Part) -> Found:
        settings: list[tuple[str, int]] = []
        wrong, seen, clean = torch.zeros(0), 0, 0
        for x, y, index in part.first(self.samples):
            settings = settings or self._settings(x.ndim == 4)
            wrong = wrong if len(wrong) else torch.zeros(len(settings), dtype=torch.double)
            corrupted = _corruption(part, x)
            seen += len(x)
            clean += int((part.network(x).argmax(1) == y).sum())
            for i, (kind, severity) in enumerate(settings):
                worse = corrupted(x, kind, severity, self.seed, int(index[0]))
                wrong[i] += int((part.network(worse).argmax(1) != y).sum())
        errors = wrong / seen
        by_kind = [errors[[i for i, s in enumerate(settings) if s[0] == kind]].mean() for kind in dict(settings)]
        accuracy = 1 - torch.stack(by_kind).mean().item()
        table: dict[str, Column] = {
            "kind": [kind for kind, _ in settings],
            "severity": [float(severity) for _, severity in settings],
            "error": errors.tolist(),
        }
        numbers = {"corruption_accuracy": accuracy, "corruption_drop": clean / seen - accuracy}
        return Found(numbers, {"corruption": table})

    def _settings(self, images: bool) -> list[tuple[str, int]]:
        """Kinds and severities. Raises ValueError: a kind is not of such data."""
        if self.kinds == "mnist_c" and images:
            return list(MNIST_C.items())
        known: Sequence[str] = list(CORRUPTIONS if images else TABLE_CORRUPTIONS)
        every: Sequence[str] = COMMON if images else known
        kinds = every if isinstance(self.kinds, str) else self.kinds
        for kind in kinds:
            values.one_of(kind, "kinds", known)
        return [(kind, severity) for kind in kinds for severity in self.severities]


def _corruption(part: Part, x: Tensor) -> Callable[[Tensor, str, int, int, int], Tensor]:
    if x.ndim == 4:
        return corrupt
    unit = part.unit.to(x)
    return lambda x, kind, severity, seed, first: corrupt_table(x, kind, severity, unit, seed, first)
