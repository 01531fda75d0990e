"""How the runs of a study were trained, as far as it bears on the answer: by what their epochs were chosen, whether
training was long enough, and how evenly techniques were tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..core.metrics import scale_of
from ..run.record import RecordedRun
from .history import read
from .settings import budget, ends_by_schedule, learning, monitor
from .study import Arm, Study

TAIL = 0.1  # of the epochs of a run, which are its last ones
LEAST_TAIL = 2  # epochs


@dataclass(frozen=True)
class Uneven:
    """How many settings of the best technique were tried, and how many of others, fewer and at one learning rate."""

    technique: str
    tried: int
    rivals: Mapping[str, int]


def chosen_late(arm: Arm) -> list[RecordedRun]:
    """Its runs whose chosen epoch is among the last tenth (at least two) of a whole budget: they still improved.

    Not a run that was as good before by its monitor (the loss parts equal accuracies), that stopped early, that chose
    no epoch (`monitor=null`), or of which the last epochs are the best by design, as with a learning rate that ends on
    a cosine.
    """
    return [run for run in arm.completed if _is_late(run)]


def too_short(arm: Arm) -> bool:
    """Whether at least half of its runs were `chosen_late`: longer training may turn what is found of it."""
    late = len(chosen_late(arm))
    return late > 0 and 2 * late >= len(arm.completed)


def uneven(study: Study, best: Arm) -> Uneven | None:
    """What speaks for the best beside its technique: it is the best of more settings than its rivals had.

    Rivals are the techniques with fewer settings, all at one learning rate and weight decay. None without any, as where
    each technique was tuned with as many trials.
    """
    groups: dict[frozenset[str], list[Arm]] = {}
    for arm in study.arms:
        groups.setdefault(arm.active, []).append(arm)
    tried = groups.pop(best.active)
    rivals = [arms for arms in groups.values() if len(arms) < len(tried) and len(_learning(arms)) == 1]
    return Uneven(_name(tried), len(tried), {_name(arms): len(arms) for arms in rivals}) if rivals else None


def _is_late(run: RecordedRun) -> bool:
    watched = monitor(run)
    if run.epochs is None or run.best_epoch is None or watched is None or run.epochs != budget(run):
        return False
    first = run.epochs - max(LEAST_TAIL, int(TAIL * run.epochs))
    late = run.best_epoch >= first and not ends_by_schedule(run)
    return late and not _as_good_before(run.folder, run.started, watched, first)


@lru_cache(maxsize=4096)
def _as_good_before(folder: Path, started: str, watched: str, first: int) -> bool:
    """Whether metrics.csv has the best value of what was watched before the epoch `first` already.

    The loss parts equal accuracies, and may fall long after these have levelled off. A run is never written again
    without another `started`, so that its file is read once.
    """
    columns, name = read(folder, ("epoch", watched)), watched.rpartition("/")[2]
    if not scale_of(name).better or watched not in columns or "epoch" not in columns:
        return False
    sign = scale_of(name).sign
    costs = [(epoch, sign * value) for epoch, value in zip(columns["epoch"], columns[watched], strict=True)]
    before, after = ([cost for epoch, cost in costs if (epoch < first) is early] for early in (True, False))
    return bool(before and after) and min(before) <= min(after)


def _learning(arms: Sequence[Arm]) -> set[tuple[str, str]]:
    return {learning(run) for arm in arms for run in arm.completed}


def _name(arms: Sequence[Arm]) -> str:
    """Of arms with the same active regularizers."""
    return arms[0].label if len(arms) == 1 else " + ".join(sorted(arms[0].active)) or "none"
