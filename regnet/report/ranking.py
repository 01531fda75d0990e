"""Arms that were run on several data sets, by their mean ranks."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .statistics import critical_difference, friedman_p, ranks
from .study import METRICS, Study


@dataclass(frozen=True)
class Ranking:
    """Mean rank on test of each arm, the best (lowest) first, over `data_sets` of them."""

    ranks: dict[str, float]
    data_sets: int
    p: float  # Friedman's
    critical: float  # Nemenyi's: ranks further apart differ

    def sentence(self) -> str:
        """The ranks in words."""
        listed = ", ".join(f"{label} {rank:.2f}" for label, rank in self.ranks.items())
        verdict = "differ" if self.p < 0.05 else "are not distinguishable"
        return (
            f"Mean ranks on test over {self.data_sets} data sets (1 is best): {listed}. They {verdict} as a whole "
            f"(Friedman p = {self.p:.3g}); two differ if further apart than {self.critical:.2f} (Nemenyi, 95 %)."
        )


def rank(compared: Sequence[Study]) -> Ranking | None:
    """The arms that all studies share, ranked; None with fewer than two arms or two data sets.

    Studies on the same source, as with several `data.train_size`, are not independent: their ranks count
    as one data set, by the ranks of their means.
    """
    scores = [
        {arm.label: statistics.fmean(values) for arm in study.arms if (values := arm.values("test", study.metric))}
        for study in compared
    ]
    shared = [label for label in (scores[0] if scores else ()) if all(label in score for score in scores)]
    by_source: dict[str, list[list[float]]] = {}
    for study, score in zip(compared, scores, strict=True):
        row = ranks([METRICS[study.metric] * score[label] for label in shared])
        by_source.setdefault(_source(study), []).append(row)
    if len(shared) < 2 or len(by_source) < 2:
        return None
    # Ranked again, as the mean ranks, Friedman's test and Nemenyi's difference must be of the same ranks.
    table = [ranks([statistics.fmean(column) for column in zip(*rows, strict=True)]) for rows in by_source.values()]
    means = [statistics.fmean(column) for column in zip(*table, strict=True)]
    order = sorted(zip(shared, means, strict=True), key=lambda pair: pair[1])
    return Ranking(dict(order), len(table), friedman_p(table), critical_difference(len(shared), len(table)))


def _source(study: Study) -> str:
    config = next((run.config for arm in study.arms for run in arm.runs if run.config), {})
    return json.dumps((config.get("data") or {}).get("source"), sort_keys=True)
