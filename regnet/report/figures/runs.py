"""A point for each run."""

from collections.abc import Mapping, Sequence
from math import inf

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..points import Point, pareto
from . import style
from .edge import beyond, edge, end_axis


def gap_and_error(shown: Mapping[str, Sequence[Point]], others: Sequence[Point], x_name: str, y_name: str) -> Figure:
    """Test error by generalization gap: a colour for each label, all others in grey; less is better in both."""
    figure = style.new()
    axes = figure.subplots()
    x, y = zip(*_all(shown, others), strict=True)
    _scatter(axes, shown, others, _end(axes, "x", x, ">"), _end(axes, "y", y, "^"))
    axes.set(xlabel=x_name, ylabel=y_name)
    style.legend(figure, *axes.get_legend_handles_labels())
    return figure


def sparsity_and_error(
    shown: Mapping[str, Sequence[Point]], others: Sequence[Point], x_name: str, y_name: str
) -> Figure:
    """Test error by sparsity, with the front of the runs that no other beats in both (Pareto)."""
    figure = style.new()
    axes = figure.subplots()
    everything = _all(shown, others)
    _scatter(axes, shown, others, (inf, inf), _end(axes, "y", [y for _, y in everything], "^"))
    axes.step(
        *zip(*pareto(everything), strict=True),
        where="pre",
        color=style.GREY,
        linewidth=1,
        linestyle="--",
        zorder=2,
        label="Pareto front",
    )
    axes.set(xlabel=x_name, ylabel=y_name)
    style.legend(figure, *axes.get_legend_handles_labels())
    return figure


def _all(shown: Mapping[str, Sequence[Point]], others: Sequence[Point]) -> list[Point]:
    return [*(point for points in shown.values() for point in points), *others]


def _end(axes: Axes, side: str, values: Sequence[float], marker: str) -> tuple[float, float]:
    """The largest value to show, and where marks for those beyond it go."""
    end = edge(values)
    if end is None:
        return inf, inf
    beyond(axes, sum(value > end for value in values), max(values), marker)
    return end, end_axis(axes, side, min(values), end)


def _scatter(
    axes: Axes,
    shown: Mapping[str, Sequence[Point]],
    others: Sequence[Point],
    right: tuple[float, float],
    top: tuple[float, float],
) -> None:
    groups = [*zip(shown.items(), style.COLOURS, style.MARKERS, strict=False), (("others", others), "#b0b0b0", ".")]
    for order, ((label, points), colour, marker) in enumerate(groups):
        if not points:
            continue
        look = {"color": colour, "s": 22, "linewidths": 0, "zorder": 4 - order / 10}  # the best on top
        inside = [(x, y) for x, y in points if x <= right[0] and y <= top[0]]
        axes.scatter([x for x, _ in inside], [y for _, y in inside], marker=marker, alpha=0.85, label=label, **look)
        for x, y in set(points) - set(inside):
            at = (min(x, right[1]), min(y, top[1]))
            axes.scatter(*at, marker="^" if y > top[0] else ">", clip_on=False, **look)
