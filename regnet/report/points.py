"""A point for each run: its test error beside something else that matters."""

from collections.abc import Callable, Sequence

from ..core.metrics import scale_of
from ..run.record import RecordedRun
from .selection import namer
from .study import Study
from .sweep import as_error

Point = tuple[float, float]
Points = dict[str, list[Point]]  # name of the arm or technique ─► its completed runs, the best by validation first


def gap(study: Study) -> Points:
    """Generalization gap (accuracy: in percentage points) and test error."""
    scale = 100 if scale_of(study.metric).percent else 1
    return _points(study, lambda run: _times(scale, run.metric("gap", study.metric)))


def sparsity(study: Study) -> tuple[str, Points]:
    """`zeros` (exact) or, where no run says that, `sparsity` (near zero); those in percent, and test error."""
    runs = [run for arm in study.arms for run in arm.completed]
    name = "zeros" if any(run.metric("zeros") is not None for run in runs) else "sparsity"
    return name, _points(study, lambda run: _times(100, run.metric(name)))


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points than which none is sparser (x, more is better) with no more error (y), by x."""
    front: list[Point] = []
    for x, y in sorted(set(points), key=lambda point: (-point[0], point[1])):
        if not front or y < front[-1][1]:
            front.append((x, y))
    return front[::-1]


def _points(study: Study, measured: Callable[[RecordedRun], float | None]) -> Points:
    name = namer(study.arms, least=1)
    found: Points = {}
    for arm in study.arms:
        for run in arm.completed:
            x, test = measured(run), run.metric("test", study.metric)
            if x is not None and test is not None:
                found.setdefault(name(arm), []).append((x, as_error(test, study.metric)))
    return found


def _times(scale: float, value: float | None) -> float | None:
    return None if value is None else scale * value
