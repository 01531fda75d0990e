"""Which figures a report has, and the sentence under each."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from .. import effects, history, sweep
from ..study import Arm, Study
from . import curves, factors, runs, style, sweeps

STUDIES = 2  # of a merge over many data sets, those with figures of their own
GRIDS = 3  # of all pairs of swept keys


@dataclass(frozen=True)
class Drawn:
    """A figure, the name of its file and the sentence that says how to read it."""

    name: str
    figure: Figure
    caption: str
    study: int | None = None


def draw(compared: Sequence[Study]) -> list[Drawn]:
    """All figures that these studies have something to show for."""
    found = []
    for key, metric, lines in sweep.along_data(compared):
        caption = f"Test {sweep.error(metric)} by data.{key}: means over seeds with 95 % intervals, lower is better."
        found.append(("data " + key, sweeps.by_data(lines, key, metric), caption + _best(len(lines), "lines"), None))
    for index, study in enumerate(compared[:STUDIES]):
        prefix, where = (f"{index + 1} ", f" Study {index + 1}.") if len(compared) > 1 else ("", "")
        found += [(prefix + name, figure, caption + where, index) for name, figure, caption in _of(study)]
    return [Drawn(_file(name), figure, caption, index) for name, figure, caption, index in found if figure is not None]


def _of(study: Study) -> Iterator[tuple[str, Figure | None, str]]:
    for key, name in sweep.swept(study).items():
        lines = sweep.lines(study, key)
        caption = (
            f"Validation {study.metric} along {name}: small points are seeds, the line is their mean, "
            "a dashed line the runs without regularization."
        )
        yield "sweep " + name, sweeps.along(study, lines, name), caption + _best(len(lines), "lines")
    for _, (x, y, grid) in zip(range(GRIDS), sweep.grids(study), strict=False):
        caption = f"Mean validation {study.metric} by {x} and {y}; the frame marks the best cell, a dash no result."
        yield f"heatmap {x} {y}", sweeps.heatmap(study, x, y, grid), caption
    main, pairs = effects.main_effects(study), effects.interactions(study)
    caption = (
        "What each factor gains, right of zero is better, with 95 % intervals over seeds: on average over all else "
        "(blue), and alone (green) and beside another (orange); where those two differ, the factors interact."
    )
    yield "effects", factors.contributions(main, pairs, study.metric), caption
    caption = (
        "How much of the variance of the validation metric each swept key explains by itself (η²); seeds: what no key "
        "explains; the rest up to 100 % are interactions. Shares overlap where not every combination was run."
    )
    yield "importance", factors.shares(effects.importance(study)), caption
    arms = _chosen(study)
    histories = {arm.label: history.mean(arm) for arm in arms}
    some = _best(len(study.arms), "arms")
    for metric in dict.fromkeys((study.metric, "loss")):
        caption = f"Training and validation {metric} by epoch, mean over seeds; the shaded gap is overfitting."
        yield f"curves {metric}", curves.learning(histories, metric), caption + some
    caption = "What the optimizer minimizes, by epoch and mean over seeds: the data loss and on top of it each penalty."
    yield "ledger", curves.losses(histories), caption + some
    caption = "Test error against generalization gap, a point a run: low and left is good."
    yield "gap", runs.gap_and_error(study), caption + _best(len(study.arms), "arms in colour")
    caption = "Test error against sparsity, a point a run: no run is below and right of the dashed Pareto front."
    yield "sparsity", runs.sparsity_and_error(study), caption + _best(len(study.arms), "arms in colour")


def _chosen(study: Study) -> Sequence[Arm]:
    """The best arms, the last of them the baseline if it is not among them."""
    arms = [arm for arm in study.arms if arm.completed][: style.SHOWN]
    none = sweep.baseline(study)
    return arms if none is None or none in arms else [*arms[:-1], none]


def _best(count: int, what: str) -> str:
    return f" The best {style.SHOWN} of {count} {what} by validation." if count > style.SHOWN else ""


def _file(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
