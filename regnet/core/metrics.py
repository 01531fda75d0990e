"""What is measured of a trained network, and which way each metric is better.

For training, sweepers and reports alike: standard library only.
"""

from collections.abc import Collection, Mapping
from math import inf
from typing import NamedTuple

from .errors import shown

SIGNS = {"min": 1, "max": -1}  # by which a metric is multiplied so that less is better


class Scale(NamedTuple):
    """Which way a metric is better, ``min``, ``max`` or None for neither, and between which values it lies.

    One from 0 to 1 is a share, and is told in per cent.
    """

    better: str | None
    low: float = -inf
    high: float = inf

    @property
    def sign(self) -> int:
        """By which it is multiplied so that less is better; 0 of one that is better neither way."""
        return SIGNS[self.better] if self.better else 0

    @property
    def percent(self) -> bool:
        """Whether it is a share."""
        return (self.low, self.high) == (0, 1)

    @property
    def span(self) -> float:
        return self.high - self.low


SCALES: Mapping[str, Scale] = {
    "loss": Scale("min"),
    "accuracy": Scale("max", 0, 1),
    "nll": Scale("min", 0),
    "ece": Scale("min", 0, 1),
    "rmse": Scale("min", 0),
    "r2": Scale("max", high=1),
}


class Metric(str):
    """The name of a metric that not every run has, with its scale."""

    scale: Scale

    def __new__(cls, name: str, scale: Scale) -> "Metric":
        found = super().__new__(cls, name)
        found.scale = scale
        return found

    def __getnewargs__(self) -> tuple[str, Scale]:  # type: ignore[override]  # those of __new__
        return str(self), self.scale


UNKNOWN = Scale(None)


def scale_of(metric: str) -> Scale:
    """Of a `Metric` its own; of another name that which every metric of that name has."""
    return metric.scale if isinstance(metric, Metric) else SCALES.get(metric, UNKNOWN)


OF_TASKS = ("accuracy", "rmse", "loss")  # a task is judged by the first of these that it has
AUTO = "auto"  # a monitor: that by which the task of the data is judged
TIES = "val/loss"  # parts validations of which a monitor is the same


def direction(monitor: str, mode: str | None = None, known: Mapping[str, Scale] = SCALES) -> str:
    """``min`` or ``max``: which way a monitor such as ``val/accuracy`` is better.

    Args:
        mode: of a metric that is none of the `known`.

    Raises:
        ValueError: nothing is known of a metric of that name.
    """
    split, _, name = str(monitor).partition("/")
    if split == "val" and name in known and (better := known[name].better):
        return better
    if mode is None:
        names = ", ".join(f"val/{name}" for name in known)
        raise ValueError(
            f"monitor={shown(monitor)} must be one of {names}; or what a callback of yours logs in validation, with "
            "mode=min or mode=max"
        )
    return mode


def judged_by(names: Collection[str]) -> str:
    """The metric by which a task is judged: accuracy of a classification, rmse of a regression."""
    return next((name for name in OF_TASKS if name in names), "loss")
