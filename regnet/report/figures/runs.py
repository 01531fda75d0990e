"""A point for each run."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ...runs import Run
from ..study import Study
from ..sweep import as_error, error, pareto
from . import style

Point = tuple[float, float]


def gap_and_error(study: Study) -> Figure | None:
    """Test error by generalization gap."""
    return _scatter(study, gap_points(study), f"gap: {_unit(study.metric)} worse on validation than on train")


def sparsity_and_error(study: Study) -> Figure | None:
    """Test error by sparsity, with the runs that no other beats in both (Pareto front)."""
    found = sparsity_points(study)
    points = [point for points in found for point in points]
    if max((x for x, _ in points), default=0) <= 0:
        return None
    figure = _scatter(study, found, "weights that are exactly zero, %")
    front = pareto(points)
    if figure is not None:
        figure.axes[0].step(*zip(*front, strict=True), where="pre", color=style.GREY, linewidth=1, linestyle="--")
    return figure


def gap_points(study: Study) -> list[list[Point]]:
    """Gap and test error of every completed run, by arm."""
    scale = 100 if study.metric == "accuracy" else 1

    def point(run: Run) -> tuple[float | None, float | None]:
        gap, test = run.metric("gap", study.metric), run.metric("test", study.metric)
        return None if gap is None else scale * gap, None if test is None else as_error(test, study.metric)

    return _points(study, point)


def sparsity_points(study: Study) -> list[list[Point]]:
    """Exact zeros in percent (in older records: weights near zero) and test error of every completed run, by arm."""

    def point(run: Run) -> tuple[float | None, float | None]:
        zeros, test = run.metric("zeros"), run.metric("test", study.metric)
        zeros = run.metric("sparsity") if zeros is None else zeros
        return None if zeros is None else 100 * zeros, None if test is None else as_error(test, study.metric)

    return _points(study, point)


def _points(study: Study, point) -> list[list[Point]]:
    every = [[point(run) for run in arm.completed] for arm in study.arms]
    return [[(x, y) for x, y in arm if x is not None and y is not None] for arm in every]


def _scatter(study: Study, found: Sequence[Sequence[Point]], name: str) -> Figure | None:
    if sum(map(len, found)) < 3:
        return None
    figure = style.new()
    axes = figure.subplots()
    rest = [point for points in found[style.SHOWN :] for point in points]
    if rest:
        axes.scatter(*zip(*rest, strict=True), color="#bdbdbd", s=10, linewidths=0, label="other arms", rasterized=True)
    coloured = list(zip(study.arms, found, style.COLOURS, style.MARKERS, strict=False))
    for arm, points, colour, marker in reversed(coloured):
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, color=colour, marker=marker, s=22, alpha=0.85, linewidths=0, label=arm.label)
    axes.set(xlabel=name, ylabel=f"test {error(study.metric)}")
    style.legend(figure, axes)
    return figure


def _unit(metric: str) -> str:
    return "accuracy, points" if metric == "accuracy" else metric
