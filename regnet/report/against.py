"""Arms by two metrics at once."""

from collections.abc import Sequence
from typing import NamedTuple

from ..core.errors import UserError, shown
from ..core.metrics import Metric, Scale, scale_of
from ..run.record import RecordedRun, flat
from .compare import score
from .estimate import Estimate, estimate
from .study import Arm, Study, scales_of
from .wording import listed

OF_RUNS = {  # what is known of the whole run
    "operations": Scale("min", 0),
    "seconds": Scale("min", 0),
    "zeros": Scale("max", 0, 1),
    "sparsity": Scale("max", 0, 1),
}


class Point(NamedTuple):
    """An arm by the other metric, `x`, and by that of its study, `y`."""

    arm: Arm
    x: Estimate
    y: Estimate


def asked(runs: Sequence[RecordedRun], name: str) -> Metric:
    """The metric of that name, with its scale. Raises UserError: no run has it, or nothing says which way is better."""
    scales = {**OF_RUNS, **scales_of(runs)}
    on_test = (key.removeprefix("test/") for run in runs for key in flat(run.metrics) if key.startswith("test/"))
    known = [key for key in dict.fromkeys([*on_test, *OF_RUNS]) if key in scales and scales[key].better]
    if name not in known:
        raise UserError(f"--against {shown(name)} must be one of {', '.join(known)}")
    return Metric(name, scales[name])


def points(study: Study, other: Metric) -> list[Point]:
    """Of every arm that has both, each on test or of the whole run."""
    found = ((arm, _score(arm, other), score(arm, "test", study.metric)) for arm in study.arms)
    return [Point(arm, x, y) for arm, x, y in found if x is not None and y is not None]


def front(found: Sequence[Point], study: Study, other: Metric) -> list[Point]:
    """The arms that no other one beats in both means (Pareto), the best by the other metric first."""
    ours, theirs = scale_of(study.metric).sign, other.scale.sign
    kept: list[Point] = []
    for point in sorted(found, key=lambda one: (theirs * one.x.mean, ours * one.y.mean)):
        if not kept or ours * point.y.mean < ours * kept[-1].y.mean:
            kept.append(point)
    return kept


def told(study: Study) -> list[str]:
    """The front in words, where a study is seen against another metric."""
    if study.against is None or not (found := front(points(study, study.against), study, study.against)):
        return []
    names, those = listed([point.arm.label for point in found]), "it" if len(found) == 1 else "any of them"
    return [f"By {study.metric} against {study.against}: {names}; no other arm beats {those} in both means."]


def _score(arm: Arm, metric: Metric) -> Estimate | None:
    if metric not in OF_RUNS:
        return score(arm, "test", metric)

    def number(run: RecordedRun) -> float | None:
        return {"operations": run.operations, "seconds": run.seconds}.get(metric, run.metrics.get(metric))

    values = arm.of_runs(number)
    return estimate(values, max(map(abs, values.values()))) if values else None
