"""What measures found: arms by two metrics, and the series that they left."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..against import Point
from ..estimate import Estimate, over
from ..study import span
from . import style


def against(found: Sequence[Point], front: Sequence[Point], other: str, metric: str) -> Figure:
    """A point for each arm by two metrics with its 95 % intervals, and the front of those that none beats in both."""
    figure = style.new()
    axes = figure.subplots()
    (x_scale, x_words), (y_scale, y_words) = style.unit(other), style.unit(metric)
    if len(front) > 1:
        axes.step(
            [x_scale * point.x.mean for point in front],
            [y_scale * point.y.mean for point in front],
            where="post",
            color=style.GREY,
            linewidth=1,
            linestyle="--",
            zorder=1,
            label="Pareto front",
        )
    many = len(found) > len(style.COLOURS)
    for index, point in enumerate(found):
        on_front = any(point is one for one in front)
        named = not many or on_front
        axes.errorbar(
            x_scale * point.x.mean,
            y_scale * point.y.mean,
            xerr=_half(point.x, other, x_scale),
            yerr=_half(point.y, metric, y_scale),
            color=style.COLOURS[index % len(style.COLOURS)] if named else "#a8a8a8",
            marker=style.MARKERS[index % len(style.MARKERS)] if named else "o",
            markersize=5 if named else 3,
            elinewidth=0.8,
            capsize=2,
            linestyle="none",
            zorder=3 if named else 2,
            label=style.named(point.arm.label) if named else None,
        )
    axes.set(xlabel=f"test {x_words}", ylabel=f"test {y_words}")
    style.legend(figure, *axes.get_legend_handles_labels())
    return figure


def curves(shown: Mapping[str, Mapping[float, Sequence[float]]], x_name: str, y_name: str) -> Figure:
    """The mean over seeds along x, a line for each label, with 95 % intervals where seeds are enough."""
    figure = style.new()
    axes = figure.subplots()
    if (x_name, y_name) == ("confidence", "accuracy"):  # where they are equal
        axes.plot((0, 1), (0, 1), color=style.GREY, linewidth=1, linestyle="--")
    for (label, curve), colour, marker in zip(shown.items(), style.COLOURS, style.MARKERS, strict=False):
        _line(axes, curve, colour, marker, label)
    axes.set(xlabel=x_name.replace("_", " "), ylabel=y_name.replace("_", " "))
    style.legend(figure, *axes.get_legend_handles_labels())
    return figure


def heatmap(cells: Mapping[tuple[str, str], float], x_name: str, y_name: str, value_name: str) -> Figure:
    """The mean over seeds for each pair of values, a row for each of the first."""
    rows, columns = (_in_order(dict.fromkeys(pair[axis] for pair in cells)) for axis in (0, 1))
    figure = style.new(max(4.2, 1.8 + 0.5 * len(columns)), max(2.4, 1.0 + 0.24 * len(rows)))
    axes = figure.subplots()
    image = axes.imshow(
        [[cells.get((row, column), float("nan")) for column in columns] for row in rows], cmap="cividis", aspect="auto"
    )
    shade: Any = image.norm  # whose stubs know arrays only
    axes.grid(False)
    axes.set_xticks(range(len(columns)), [style.shortened(text, 16) for text in columns])
    axes.set_yticks(range(len(rows)), [style.shortened(text, 24) for text in rows])
    axes.set(xlabel=y_name.replace("_", " "), ylabel=x_name.replace("_", " "))
    for (row, column), value in cells.items():
        place = columns.index(column), rows.index(row)
        dark = shade(value) < 0.5
        axes.text(*place, style.tick(value), ha="center", va="center", fontsize=7, color="white" if dark else "black")
    figure.colorbar(image, ax=axes, label=value_name.replace("_", " "))
    return figure


def _in_order(texts: Iterable[str]) -> list[str]:
    """Numbers from the least, other texts as they come."""
    texts = list(texts)
    try:
        return sorted(texts, key=float)
    except ValueError:
        return texts


def _line(axes: Axes, curve: Mapping[float, Sequence[float]], colour: str, marker: str, label: str) -> None:
    found = {x: over(values, max(map(abs, values)), "seeds") for x, values in curve.items()}
    axes.plot(
        list(found),
        [one.mean for one in found.values()],
        color=colour,
        marker=marker,
        markersize=3.5,
        label=style.named(label),
    )
    shares = all(0 <= value <= 1 for values in curve.values() for value in values)
    widest, least, most = (1, 0, 1) if shares else (inf, -inf, inf)
    known = {x: interval for x, one in found.items() if (interval := one.interval(span=widest)) is not None}
    if len(known) > 1:
        low, high = ([min(max(end, least), most) for end in ends] for ends in zip(*known.values(), strict=True))
        axes.fill_between(list(known), low, high, color=colour, alpha=0.15, linewidth=0)


def _half(found: Estimate, metric: str, scale: float) -> float | None:
    interval = found.interval(span=span(metric))
    return None if interval is None else scale * (interval[1] - interval[0]) / 2
