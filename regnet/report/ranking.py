"""Arms that were run on several data sets, by their mean ranks."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.metrics import scale_of
from .compare import find_baseline
from .family import ALPHA
from .statistics import control_p, friedman_p, ranks
from .study import Study

LEAST = 5  # data sets: Friedman's χ² and the normal law of mean ranks are those of many


@dataclass(frozen=True)
class Ranking:
    """Mean rank on test of each arm, the best (lowest) first, over `data_sets` of them."""

    ranks: Mapping[str, float]
    data_sets: int
    p: float  # Friedman's
    control: str | None  # the baseline, if all studies have it
    against: Mapping[str, float]  # Holm's p of each other arm against the control; none where ranks do not differ

    def sentence(self) -> str:
        """The ranks in words."""
        listed = ", ".join(f"{label} {rank:.2f}" for label, rank in self.ranks.items())
        verdict = "differ" if self.p < ALPHA else "are not distinguishable"
        told = [
            f"Mean ranks on test over {self.data_sets} data sets (1 is best): {listed}.",
            f"They {verdict} as a whole (Friedman p = {self.p:.3g}).",
        ]
        if self.against:
            apart = [f"{label} (p = {p:.3g})" for label, p in self.against.items() if p < ALPHA]
            which = f"Different from {self.control} by Holm's test: {', '.join(apart)}."
            told.append(which if apart else f"No single one is told from {self.control} (Holm).")
        return " ".join(told)


def rank(compared: Sequence[Study], baseline: str | None = None) -> Ranking | None:
    """The arms that all studies share, ranked; None with fewer than two arms or five data sets.

    Studies on the same source, as with several `data.train_size`, are not independent: their ranks count
    as one data set, by the ranks of their means. The `baseline` (see `find_baseline`) is the control.
    """
    scores = [
        {arm.label: statistics.fmean(values) for arm in study.arms if (values := arm.values("test", study.metric))}
        for study in compared
    ]
    shared = [label for label in (scores[0] if scores else ()) if all(label in score for score in scores)]
    by_source: dict[str, list[list[float]]] = {}
    for study, score in zip(compared, scores, strict=True):
        row = ranks([scale_of(study.metric).sign * score[label] for label in shared])
        by_source.setdefault(_source(study), []).append(row)
    if len(shared) < 2 or len(by_source) < LEAST:
        return None
    # Ranked again, as the mean ranks and the tests must be of the same ranks.
    table = [ranks([statistics.fmean(column) for column in zip(*rows, strict=True)]) for rows in by_source.values()]
    means = [statistics.fmean(column) for column in zip(*table, strict=True)]
    found = dict(sorted(zip(shared, means, strict=True), key=lambda pair: pair[1]))
    control = find_baseline(compared[0], baseline)
    label = control.label if control and control.label in found else None
    p = friedman_p(table)
    return Ranking(found, len(table), p, label, _against(found, label, len(table)) if label and p < ALPHA else {})


def _against(means: Mapping[str, float], control: str, data_sets: int) -> dict[str, float]:
    others = {label: mean for label, mean in means.items() if label != control}
    found = control_p(list(others.values()), means[control], data_sets)
    return dict(zip(others, found, strict=True))


def _source(study: Study) -> str:
    config = next((run.config for arm in study.arms for run in arm.runs if run.config), {})
    return json.dumps((config.get("data") or {}).get("source"), sort_keys=True)
