"""Which figures a report has, and the sentences under each."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count as count_from

from matplotlib.figure import Figure

from ...core.metrics import scale_of
from .. import against as front
from .. import effects, history, points, series, sweep
from ..compare import find_baseline
from ..estimate import LEAST
from ..importance import SEEDS, importance
from ..selection import SHOWN, first, namer, part
from ..study import Arm, Study, independent
from . import curves, factors, heatmaps, measured, runs, style, sweeps

STUDIES = 6  # studies with figures of their own; a report with more would take minutes to read
GRIDS = 3  # of all pairs of swept keys
FEW = 3  # points: so few are no picture
SPARSER = 1  # percentage points of zeros: a smaller difference helps nobody to choose

Captioned = tuple[str, Callable[[], Figure], str]  # name, figure, caption


@dataclass(frozen=True)
class Drawn:
    """A figure, the name of its file, the sentences that say how to read it, and which study it is about.

    The figure is made when it is asked for: others may be made in other processes at the same time. `study` is the
    study's index; None for a figure across studies.
    """

    name: str
    make: Callable[[], Figure]
    caption: str
    study: int | None = None

    @cached_property
    def figure(self) -> Figure:
        return self.make()


def draw(compared: Sequence[Study], baseline: str | None = None) -> list[Drawn]:
    """All figures that these studies have something to show for; of many studies, those of the first six.

    Args:
        baseline: the arm to compare with, as for `find_baseline`.
    """
    nones = [find_baseline(study, baseline) for study in compared]
    found: list[tuple[int | None, Captioned]] = [(None, captioned) for captioned in _across(compared, nones)]
    for index, (study, none) in enumerate(zip(compared[:STUDIES], nones, strict=False)):
        where = f" Study {index + 1} of {len(compared)}" if len(compared) > 1 else ""
        where += f"; only the first {STUDIES} have figures." if len(compared) > STUDIES else "." if where else ""
        # Of several studies the loss alone: it shows overfitting better.
        metrics = ("loss",) if len(compared) > 1 else dict.fromkeys((study.metric, "loss"))
        prefix = f"{index + 1} " if len(compared) > 1 else ""
        for name, make, caption in _of(study, none, metrics):
            found.append((index, (prefix + name, make, caption + where)))
    names = _files(name for _, (name, _, _) in found)
    return [Drawn(name, make, caption, study) for name, (study, (_, make, caption)) in zip(names, found, strict=True)]


def _across(compared: Sequence[Study], nones: Sequence[Arm | None]) -> Iterator[Captioned]:
    for key, metric, lines in sweep.along_data(compared):
        shown, own = _lines(lines, nones)
        caption = f"Test {sweep.error(metric)} by data.{key}; lower is better. "
        repeated = "Means over seeds with 95 % intervals." if _repeated(shown, LEAST) else "Means over seeds."
        caption += repeated if _repeated(shown) else "Each point is one run."
        caption += " The lines are shifted sideways so that they do not hide each other." if len(shown) > 1 else ""
        yield (
            f"data {key}",
            partial(sweeps.by_data, shown, key, metric),
            caption + part([line.label for line in lines], own, "lines"),
        )


def _of(study: Study, none: Arm | None, metrics: Iterable[str]) -> Iterator[Captioned]:
    yield from _sweeps(study, none)
    yield from _slices(study)
    yield from _grids(study)
    yield from _factors(study)
    yield from _histories(study, none, metrics)
    yield from _points(study, none)
    yield from _against(study)
    yield from _series(study, none)


def _sweeps(study: Study, none: Arm | None) -> Iterator[Captioned]:
    for key, name in sweep.swept(study).items():
        lines = sweep.lines(study, key)
        if not lines:
            continue
        shown, own = _lines(lines, [none])
        values = independent(none.measured("val", study.metric)) if none and own is None else []
        caption = f"Validation {study.metric} by {key}. "
        caption += "Small points are runs, lines their means." if _repeated(shown) else "Each point is one run."
        dashed = (none.label, values) if none and values else None
        if dashed:
            caption += f" The dashed line is the baseline, {dashed[0]}."
        drawn = partial(sweeps.along, shown, key, study.metric, dashed)
        yield f"sweep {name}", drawn, caption + part([line.label for line in lines], own, "lines")


def _slices(study: Study) -> Iterator[Captioned]:
    if found := sweep.scattered(study):
        caption = (
            f"Validation {study.metric} by each key that was searched. Each point is one setting (mean over seeds)."
        )
        if len(found) > SHOWN:
            caption += f" Shown are the {SHOWN} of {len(found)} keys that most settings have."
        yield "slices", partial(sweeps.slices, dict(list(found.items())[:SHOWN]), study.metric), caption


def _grids(study: Study) -> Iterator[Captioned]:
    names = sweep.swept(study)
    grids = list(sweep.grids(study))
    for x, y, grid in grids[:GRIDS]:
        best = len(grid.best(scale_of(study.metric).sign))
        caption = f"Validation {study.metric} by {x} and {y} (mean over seeds) for {grid.label}. "
        caption += (
            "The frame marks the best cell." if best == 1 else f"Frames mark the {best} cells that share the best."
        )
        caption += " A dash means that there is no result." if any(None in row for row in grid.cells) else ""
        if len(grids) > GRIDS:
            caption += f" Shown are {GRIDS} of {len(grids)} pairs of keys."
        yield f"heatmap {names[x]} {names[y]}", partial(heatmaps.heatmap, grid, x, y, study.metric), caption


def _factors(study: Study) -> Iterator[Captioned]:
    if main := effects.main_effects(study):
        pairs = effects.interactions(study)
        strongest = factors.strongest(pairs)
        caption = "Gain of each factor, averaged over all other settings (circles); right of zero is better."
        alone = all(effect.half_width is None for effect in main)
        caption += "" if alone else " Bars are 95 % intervals over seeds."
        if pairs:
            differ = "differ, the factors may" if alone else "differ by more than their intervals, the factors"
            caption += (
                " Below the line: the gain of the first factor without the second (triangles) and with it (squares). "
                f"Where the two {differ} interact."
            )
        if len(strongest) < len(pairs):
            caption += f" Shown are the {len(strongest)} strongest of {len(pairs)} interactions."
        yield "effects", partial(factors.contributions, main, strongest, study.metric), caption
    if shares := importance(study):
        seeds = SEEDS in shares
        keys = len(shares) - seeds
        rest = "" if seeds else " and chance, as each setting was run once"
        caption = (
            f"Share of the variance of validation {study.metric} that each key explains (η²). The black mark is what a "
            f"key without any effect would explain by chance.{' seeds: variance between seeds.' if seeds else ''} The "
            f"rest up to 100 % is due to interactions{rest}. Shares overlap where not every combination was run."
        )
        if keys > factors.NAMED:
            caption += f" Shown are the first {factors.NAMED} of {keys} keys."
        yield "importance", partial(factors.shares, shares), caption


def _histories(study: Study, none: Arm | None, metrics: Iterable[str]) -> Iterator[Captioned]:
    arms = [arm for arm in study.arms if arm.completed]
    name = namer(arms)
    best = {name(arm): arm for arm in reversed(arms)}
    names = list(dict.fromkeys(map(name, arms)))
    kept = name(none) if none in arms else None
    histories = {label: history.mean(best[label]) for label in first(names, kept)}
    some = "" if len(names) == len(arms) else " Each technique is at the settings that validation chose."
    some += part(names, kept, "settings" if len(names) == len(arms) else "techniques")
    for metric in metrics:
        if shown := {label: found for label, h in histories.items() if (found := history.learning(h, metric))}:
            caption = f"Training and validation {metric} by epoch (mean over seeds). The shaded gap shows overfitting."
            rest = " Those without metrics.csv are left out." if len(shown) < len(histories) else ""
            yield f"curves {metric}", partial(curves.learning, shown, metric), caption + some + rest
    for other in study.others:
        if shown := {label: found for label, h in histories.items() if (found := history.course(h, other))}:
            rest = " Those that did not log it are left out." if len(shown) < len(histories) else ""
            yield (
                f"course {other}",
                partial(curves.course, shown, other),
                f"{other} by epoch (mean over seeds)." + some + rest,
            )
    if shown := {label: found for label, h in histories.items() if (found := history.ledger(h))}:
        caption = "The training objective by epoch (mean over seeds): the data loss, and each penalty on top of it."
        rest = " Those without a penalty are left out." if len(shown) < len(histories) else ""
        yield "ledger", partial(curves.losses, shown), caption + some + rest


def _points(study: Study, none: Arm | None) -> Iterator[Captioned]:
    gap, (zeros, sparsity) = points.gap(study), points.sparsity(study)
    test = f"test {sweep.error(study.metric)}"
    if sum(map(len, gap.values())) >= FEW:
        unit = f"{study.metric}{', percentage points' * scale_of(study.metric).percent}"
        shown, others, some = _coloured(study, none, gap)
        caption = "Test error against the generalization gap. Each point is one run; low and left is better."
        yield (
            "gap",
            partial(runs.gap_and_error, shown, others, f"generalization gap, {unit}", test),
            caption + some,
        )
    rates = [rate for found in sparsity.values() for rate, _ in found]
    if len(rates) >= FEW and max(rates) - min(rates) >= SPARSER:
        what = "weights that are zero, %" if zeros == "zeros" else "weights near zero (< 0.1 % of the largest), %"
        shown, others, some = _coloured(study, none, sparsity)
        caption = "Test error against sparsity. Each point is one run; the dashed line is the Pareto front."
        yield "sparsity", partial(runs.sparsity_and_error, shown, others, what, test), caption + some


def _against(study: Study) -> Iterator[Captioned]:
    if study.against is None or len(found := front.points(study, study.against)) < 2:
        return
    best = front.front(found, study, study.against)
    caption = (
        f"Test {study.metric} against {study.against}: the means of each arm with 95 % intervals. The dashed line "
        "joins the arms that no other one beats in both (Pareto front)."
    )
    if len(found) > len(style.COLOURS):
        caption += " The others are grey."
    yield f"against {study.against}", partial(measured.against, found, best, study.against, study.metric), caption


def _series(study: Study, none: Arm | None) -> Iterator[Captioned]:
    arms = [arm for arm in study.arms if arm.completed]
    name = namer(arms)
    best = {name(arm): arm for arm in reversed(arms)}
    names = list(dict.fromkeys(map(name, arms)))
    kept = name(none) if none in arms else None
    for one in series.series(study):
        if len(one.columns) == 3:
            yield from _tables(study, one)
            continue
        curves_of = {label: found for label in first(names, kept) if (found := series.curve(best[label], one))}
        if curves_of:
            x, y = (text.replace("_", " ") for text in one.columns)
            caption = f"{one.name.replace('_', ' ').capitalize()}: {y} by {x} on test, means over seeds"
            repeated = any(len(values) >= LEAST for found in curves_of.values() for values in found.values())
            caption += " with 95 % intervals." if repeated else "."
            yield (
                f"series {one.name}",
                partial(measured.curves, curves_of, *one.columns),
                caption + part(names, kept, "settings"),
            )


def _tables(study: Study, one: series.Series) -> Iterator[Captioned]:
    arm = study.best()
    if arm is not None and (found := series.cells(arm, one)):
        row, column, value = (text.replace("_", " ") for text in one.columns)
        caption = f"{value.capitalize()} by {row} and {column} on test (mean over seeds) for {arm.label}, the best."
        yield f"series {one.name}", partial(measured.heatmap, found, *one.columns), caption


def _coloured(study: Study, none: Arm | None, found: points.Points) -> tuple[points.Points, list[points.Point], str]:
    """What gets a colour, the points of all else, and the sentence that says so."""
    name = namer(study.arms, least=1)
    kept = None if none is None else name(none)
    shown = first(list(found), kept)
    others = [point for label, those in found.items() if label not in shown for point in those]
    some = part(list(found), kept, "techniques", "In colour")
    return {label: found[label] for label in shown}, others, some


def _lines(found: Sequence[sweep.Line], nones: Sequence[Arm | None]) -> tuple[list[sweep.Line], str | None]:
    """Those to show, and the label of the one that a baseline is part of."""
    own = next((line.label for line in found if any(none in line.arms for none in nones)), None)
    by_label = {line.label: line for line in found}
    return [by_label[label] for label in first(list(by_label), own)], own


def _repeated(lines: Iterable[sweep.Line], least: int = 2) -> bool:
    return any(len(values) >= least for line in lines for values in line.along.values())


def _files(names: Iterable[str]) -> list[str]:
    """As names of files, safe and different on every system: not all tell A from a."""
    found: dict[str, str] = {}
    for name in names:
        safe = unique = re.sub(r"[^A-Za-z0-9.-]+", "_", name)[:80]
        for count in count_from(2):
            if unique.lower() not in found:
                break
            unique = f"{safe}_{count}"
        found[unique.lower()] = unique
    return list(found.values())
