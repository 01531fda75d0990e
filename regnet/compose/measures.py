"""The chosen measures, from the config."""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig

from ..core.errors import UserError, shown
from ..core.metrics import SCALES, Scale
from ..data import DataModule
from ..measures import Measure, Part
from ..measures.part import unit_of
from ..run.ledger import RESERVED
from ..training.module import RegularizedModule
from .make import make_a, try_to
from .protocol import HALF

Measures = dict[str, Measure]


def build_measures(nodes: Mapping[Any, Any]) -> Measures:
    """The chosen measures, from the config's `measure` or entries of it, under the names they have there.

    Raises:
        UserError: one that names no measure, a setting out of range, or two that give a number the same name.
    """
    measures: Measures = {}
    for name, node in nodes.items():
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise UserError(f"measure.{name}={shown(node)} is no measure: choose one, such as measure=calibration")
        measures[str(name)] = make_a(Measure, node, f"measure.{name}")  # type: ignore[type-abstract]
    owners: dict[str, str] = dict.fromkeys((*SCALES, *RESERVED), "every run")
    for name, measure in measures.items():
        for number in try_to(f"measure.{name}", _names, measure):
            if (other := owners.setdefault(number, name)) != name:
                raise UserError(f"measure.{name} gives {number}, which {other} has already")
    return measures


def _names(measure: Measure) -> list[str]:
    return list(measure.scales)


def at_epochs(measures: Mapping[str, Measure]) -> Measures:
    """Those that measure in each validation."""
    return {name: measure for name, measure in measures.items() if measure.at == "epoch"}


def watched(measures: Mapping[str, Measure]) -> dict[str, Scale]:
    """The numbers by which an epoch can be chosen: those of every run, and of what measures in each validation."""
    return {**SCALES, **{name: scale for one in at_epochs(measures).values() for name, scale in one.scales.items()}}


def check_measures(measures: Mapping[str, Measure], data: DataModule, precision: str = "32-true") -> None:
    """Raises UserError where one has no meaning for the data, or cannot measure in each validation."""
    if precision in HALF and (watched := at_epochs(measures)):
        raise UserError(
            f"measure.{min(watched)}.at=epoch: a network in trainer.precision={precision} is measured at the end "
            "alone; use bf16-mixed"
        )
    for name, measure in measures.items():
        try_to(f"measure.{name}", measure.check, data)


def in_validation(
    measures: Mapping[str, Measure], data: DataModule, module: RegularizedModule
) -> Callable[[], dict[str, float]] | None:
    """What `RegularizedModule.also` is: the numbers of those that measure in each validation."""
    every = at_epochs(measures)
    if not every:
        return None

    unit = unit_of(data)

    def numbers() -> dict[str, float]:
        val = Part(module.objective, data.val_dataloader()[0], module.device, "val", unit=unit)
        return {name: value for one in every.values() for name, value in one(val, val).numbers.items()}

    return numbers
