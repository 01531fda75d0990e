"""How good a run is to a sweeper: by the metric that chose its epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..core.metrics import AUTO, SIGNS, TIES, direction, judged_by
from ..run.record import RecordedRun, flat

DIGITS = 6  # in which equal scores agree: an accuracy in float32 has seven


@dataclass(frozen=True)
class Score:
    """The monitored metric of one run, or its mean over several; NaN where one of them has none.

    Args:
        metric: its name, such as ``val/accuracy``.
        value: as it was measured.
        cost: the same with the sign by which less is better.
        loss: on validation, which parts equal values.
    """

    metric: str
    value: float
    cost: float
    loss: float

    @property
    def is_known(self) -> bool:
        return not math.isnan(self.cost)

    @property
    def rank(self) -> tuple[float, float]:
        """Less is better."""
        return float(f"{self.cost:.{DIGITS}g}"), self.loss


def score_of(run: RecordedRun) -> Score:
    """By the run's own `monitor`, which is known after training only where it follows from the data.

    Without a monitor it is the metric by which the task is judged, in the last epoch. A run that did not complete has
    no score.
    """
    metrics = flat(run.metrics) if run.status == "completed" else {}
    monitor, mode = run.config.get("monitor"), run.config.get("mode")
    if monitor in (None, AUTO):
        monitor, mode = f"val/{judged_by(run.metrics.get('val') or ())}", None
    value, loss = (math.nan if metrics.get(name) is None else float(metrics[name]) for name in (monitor, TIES))
    sign = SIGNS[direction(monitor, mode)] if metrics else 1
    return Score(monitor, value, sign * value, math.inf if math.isnan(loss) else loss)


def mean(scores: Sequence[Score]) -> Score:
    parts = ([getattr(score, name) for score in scores] for name in ("value", "cost", "loss"))
    return Score(scores[0].metric, *map(fmean, parts))


def best(scores: Sequence[Score]) -> int | None:
    """The place of the best; None where none is known. Of equal ones it is that with the lower loss, then the first."""
    known = [place for place, score in enumerate(scores) if score.is_known]
    return min(known, key=lambda place: scores[place].rank, default=None)
