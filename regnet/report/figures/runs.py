"""A point for each run."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..points import Point, pareto
from . import style
from .edge import beyond, edge, end_axis


def gap_and_error(shown: Mapping[str, Sequence[Point]], others: Sequence[Point], x_name: str, y_name: str) -> Figure:
    """Test error by generalization gap: a colour for each label, all others in grey; less is better in both."""
    figure = style.new()
    axes = figure.subplots()
    _scatter(axes, shown, others, sides="xy")
    axes.set(xlabel=x_name, ylabel=y_name)
    style.legend(figure, *axes.get_legend_handles_labels())
    return figure


def sparsity_and_error(
    shown: Mapping[str, Sequence[Point]], others: Sequence[Point], x_name: str, y_name: str
) -> Figure:
    """Test error by sparsity, with the front of the runs that no other beats in both (Pareto)."""
    figure = style.new()
    axes = figure.subplots()
    everything = _scatter(axes, shown, others, sides="y")
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


def _scatter(axes: Axes, shown: Mapping[str, Sequence[Point]], others: Sequence[Point], sides: str) -> list[Point]:
    """All points; those beyond the end of an axis of `sides` as marks at its end."""
    everything = [*(point for points in shown.values() for point in points), *others]
    values = dict(zip("xy", zip(*everything, strict=True), strict=True))
    ends = {side: end for side in sides if (end := edge(values[side])) is not None}
    at = {side: end_axis(axes, side, min(values[side]), end) for side, end in ends.items()}
    right, top = ends.get("x", inf), ends.get("y", inf)
    groups = [*zip(shown.items(), style.COLOURS, style.MARKERS, strict=False), (("others", others), "#a8a8a8", "o")]
    for order, ((label, points), colour, marker) in enumerate(groups):
        if not points:
            continue
        look: dict[str, Any] = {"color": colour, "linewidths": 0, "zorder": 4 - order / 10}  # the best on top
        inside = [(x, y) for x, y in points if x <= right and y <= top]
        size = 10 if points is others else 22
        axes.scatter(
            [x for x, _ in inside],
            [y for _, y in inside],
            marker=marker,
            s=size,
            alpha=0.85,
            label=style.named(label),
            **look,
        )
        for x, y in (point for point in points if point not in inside):
            mark = "^" if y > top else ">"
            axes.scatter(min(x, at.get("x", x)), min(y, at.get("y", y)), marker=mark, s=22, clip_on=False, **look)
    for side, end in ends.items():
        beyond(axes, sum(value > end for value in values[side]), "run", max(values[side]), {"x": ">", "y": "^"}[side])
    return everything
