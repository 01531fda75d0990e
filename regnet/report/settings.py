"""What the config of a run says of its training and of how it is judged.

A record may come from a stranger: what is not of the right type counts as not given.
"""

from collections.abc import Mapping
from math import inf
from typing import Any

from ..run.record import RecordedRun

# By these the last epochs of a training are its best, however long it is: schedules of the learning rate, averages of
# the last epochs, and schedules of a strength.
ENDING = ("CosineAnnealingLR", "OneCycleLR", "LinearLR", "PolynomialLR", "Swa", "Snapshots")
FADING = ("linear:", "cosine:")


def chooses(run: RecordedRun) -> bool:
    """Whether it chose its epoch by a monitor, and its record says so."""
    return monitor(run) is not None


def monitor(run: RecordedRun) -> str | None:
    """By what it chose its epoch; None where it ends at its last epoch, or where its record does not say."""
    found = run.config.get("monitor")
    return found if isinstance(found, str) else None


def takes_last(run: RecordedRun) -> bool:
    """Whether it was to end at its last epoch, without any choice: `monitor=null`."""
    return "monitor" in run.config and run.config["monitor"] is None


def budget(run: RecordedRun) -> int | None:
    """The epochs that it was to be trained for."""
    found = _part(run.config, "trainer").get("max_epochs")
    return found if isinstance(found, int) else None


def ends_by_schedule(run: RecordedRun) -> bool:
    """Whether something of it ends with training, so that the last epochs are the best by design."""
    entries = run.config.get("regularizer") or {}
    parts = [_part(run.config, "scheduler"), *(_part(entries, name) for name in entries)]
    classes = {str(part.get("_target_")).rpartition(".")[2] for part in parts}
    return not classes.isdisjoint(ENDING) or any(str(part.get("schedule")).startswith(FADING) for part in parts)


def learning(run: RecordedRun) -> tuple[str, str]:
    """Its learning rate and weight decay, which regularize whatever else does."""
    optimizer = _part(run.config, "optimizer")
    return str(optimizer.get("lr")), str(optimizer.get("weight_decay"))


def margin(run: RecordedRun) -> float | None:
    """`report.margin`: the difference that does not matter, in the unit of the metric; None for the default."""
    found = _part(run.config, "report").get("margin")
    if not isinstance(found, int | float) or isinstance(found, bool):
        return None
    return found if 0 < found < inf else None


def anytime(run: RecordedRun) -> bool:
    """`report.anytime`: whether the study was looked at more than once."""
    return _part(run.config, "report").get("anytime") is True


def _part(node: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = node.get(name)
    return found if isinstance(found, Mapping) else {}
