"""What is measured of a run at its end, and how its record holds it."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from ..core.errors import described
from ..data import DataModule
from ..training.objective import Objective
from .measure import Found, Measure
from .part import Part, unit_of

log = logging.getLogger(__name__)

PARTS = ("val", "test")


class Measured(NamedTuple):
    """What one measure found on each part; why it found nothing where it failed."""

    measure: Measure
    found: Mapping[str, Found]
    reason: str | None = None


def at_end(
    measures: Mapping[str, Measure], objective: Objective, data: DataModule, device: torch.device | str = "cpu"
) -> dict[str, Measured]:
    """What each measure finds on validation and test. One that fails says why, and the run keeps all that it has."""
    if not measures:
        return {}
    unit = unit_of(data)
    val = Part(objective, data.val_dataloader()[0], device, "val", unit=unit)
    parts = {"val": val, "test": Part(objective, data.test_dataloader(), device, "test", unit=unit)}
    outcome = {}
    for name, measure in measures.items():
        try:
            outcome[name] = Measured(measure, {split: measure(parts[split], val) for split in PARTS})
        except Exception as error:
            reason = " ".join((str(error) if isinstance(error, ValueError) else described(error)).split())
            log.warning("measure.%s found nothing: %s", name, reason)
            outcome[name] = Measured(measure, {}, reason)
    return outcome


def added(record: dict[str, Any], outcome: Mapping[str, Measured]) -> dict[str, Any]:
    """The record with the numbers among its metrics, and in ``measures`` what is to be known of them (docs/record.md).

    What an earlier try of the same measures found is not in it any more.
    """
    known: dict[str, Any] = dict(record.get("measures") or {})
    metrics = {split: dict(numbers) if split in PARTS else numbers for split, numbers in record["metrics"].items()}
    for name, one in outcome.items():
        for number in (*(known.pop(name, None) or {}).get("scales", ()), *one.measure.scales):
            for split in PARTS:
                metrics[split].pop(number, None)
        for split, found in one.found.items():
            metrics[split] |= found.numbers
        known[name] = {
            "scales": {number: list(scale) for number, scale in one.measure.scales.items()},
            "series": one.found["test"].series if one.found else {},
            "reason": one.reason,
        }
    return {**record, "metrics": metrics, "measures": known}
