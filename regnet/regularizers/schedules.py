"""Schedules: how a strength or rate moves while training goes on. One language for all of them.

A schedule is a factor f(t) of the configured value at progress t, written as a name and numbers:

    constant              f = 1
    linear:1:0            from the first factor to the second, in a straight line over all of training
    linear:0:1:0.2:0.8    the same between two points of training, and constant before and after
    cosine:1:0            the same along half a cosine; also with two points of training
    step:0.1:0.5:0.75     times the first number at each of the points that follow
    warmup:0.1            from 0 to 1 in a straight line until that point
    late:0.5              0 until that point, 1 from there on: L1 toward the end (Srivastava et al. 2014, Table 9),
                          late dropout (Liu et al. 2023)
    early:0.1             1 until that point, 0 from there on: early dropout (Liu et al. 2023)

A point of training is a share of all its steps, from 0 to 1, or a number of epochs as ``5e``.
"""

import math
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn

Factor = Callable[[float], float]
NAMES = ("strength", "rate", "radius", "smoothing", "noise", "probability")  # of what may be scheduled, one in each


def parse(text: str, epochs: int | None = None) -> Factor:
    """The factor as a function of progress in [0, 1] that `text` describes.

    Raises:
        ValueError: what is wrong with `text`.
    """
    name, *arguments = str(text).split(":")
    kinds: dict[str, tuple[Callable[..., Factor], int, float]] = {
        "constant": (_constant, 0, 0),
        "linear": (_linear, 2, 4),
        "cosine": (_cosine, 2, 4),
        "step": (_step, 2, math.inf),
        "warmup": (_warmup, 1, 1),
        "late": (_late, 1, 1),
        "early": (_early, 1, 1),
    }
    if name not in kinds:
        raise ValueError(f"schedule={text!r} is none of {', '.join(kinds)}")
    make, least, most = kinds[name]
    if not least <= len(arguments) <= most or (name in ("linear", "cosine") and len(arguments) == 3):
        examples = [line.split()[0] for line in __doc__.splitlines() if line.startswith(f"    {name}")]
        raise ValueError(f"schedule={text!r} is written as {' or '.join(examples)}")
    factors = {"linear": 2, "cosine": 2, "step": 1}.get(name, 0)
    numbers = [_factor(part, text) for part in arguments[:factors]]
    points = [_point(part, text, epochs) for part in arguments[factors:]]
    if points != sorted(points):
        raise ValueError(f"schedule={text!r} has points of training that are not in order")
    return make(*numbers, *points)


class Schedules:
    """The scheduled buffers of a run, whose values follow from the progress alone: a resumed run needs no state.

    Args:
        scheduled: (name in the log, modules, name of their buffer, factor); the buffers hold their configured values.
    """

    def __init__(self, scheduled: Iterable[tuple[str, Sequence[nn.Module], str, Factor]] = ()) -> None:
        self.scheduled = [
            (name, buffer, factor, [(module, module.get_buffer(buffer).item()) for module in modules])
            for name, modules, buffer, factor in scheduled
        ]

    def set(self, progress: float) -> None:
        """Puts all values to where they are at `progress`, the share in [0, 1] of all steps that were made."""
        for buffer, value in zip(self.buffers(), self.at(progress), strict=True):
            buffer.fill_(value)

    def at(self, progress: float) -> list[float]:
        """What `set` puts into each of `buffers`."""
        factors = [(factor(progress), modules) for _, _, factor, modules in self.scheduled]
        return [value * now for now, modules in factors for _, value in modules]

    def buffers(self) -> list[Tensor]:
        """All that it moves."""
        return [getattr(module, buffer) for _, buffer, _, modules in self.scheduled for module, _ in modules]

    def values(self) -> dict[str, float]:
        """The present value of each, under its name; of several modules the last."""
        return {name: modules[-1][0].get_buffer(buffer).item() for name, buffer, _, modules in self.scheduled}


def scheduled_buffer(module: nn.Module) -> str:
    """The name of the buffer of a regularizer that a schedule moves. Raises ValueError where it has none."""
    for name in NAMES:
        if name in module._buffers:
            return name
    raise ValueError(f"{type(module).__name__} has no strength or rate that could follow a schedule")


def _constant() -> Factor:
    return lambda t: 1.0


def _linear(first: float, second: float, start: float = 0.0, end: float = 1.0) -> Factor:
    return lambda t: first + (second - first) * _part(t, start, end)


def _cosine(first: float, second: float, start: float = 0.0, end: float = 1.0) -> Factor:
    return lambda t: second + (first - second) * (1 + math.cos(math.pi * _part(t, start, end))) / 2


def _step(factor: float, *points: float) -> Factor:
    return lambda t: factor ** sum(t >= point for point in points)


def _warmup(end: float) -> Factor:
    return _linear(0.0, 1.0, 0.0, end)


def _late(start: float) -> Factor:
    return lambda t: float(t >= start)


def _early(end: float) -> Factor:
    return lambda t: float(t < end)


def _part(t: float, start: float, end: float) -> float:
    """How much of the way from start to end is behind, from 0 to 1."""
    return min(1.0, max(0.0, (t - start) / (end - start))) if end > start else float(t >= end)


def _factor(part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"schedule={text!r} has a factor {part!r}, which must be a number >= 0")
    return value


def _point(part: str, text: str, epochs: int | None) -> float:
    try:
        value = float(part.removesuffix("e"))
    except ValueError:
        value = math.nan
    if part.endswith("e"):
        if not epochs:
            raise ValueError(f"schedule={text!r} counts epochs, and their number is open; write a share of training")
        value /= epochs
    if not 0 <= value <= 1:
        raise ValueError(f"schedule={text!r} has a point {part!r} outside of training, which is from 0 to 1")
    return value
