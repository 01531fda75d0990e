"""The metric along what was swept."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...core.metrics import scale_of
from ..digits import number
from ..estimate import over
from ..study import span
from ..sweep import Line, as_error, decades, error, geometric
from . import style
from .edge import beyond, end_axis, worst_shown

WORDS = {
    "train_size": "training samples (data.train_size)",
    "label_noise": "share of wrong training labels (data.label_noise)",
}
Shown = tuple[Axes, float | None, float, str]  # where, position (None: everywhere), metric, colour


def along(found: Sequence[Line], key: str, metric: str, baseline: tuple[str, Sequence[float]] | None) -> Figure:
    """Validation metric by one swept number: the runs as points, their means as a line.

    Args:
        found: the lines, no more than there are colours.
        baseline: label and independent numbers of an arm that is no part of the lines, drawn as a band.
    """
    figure = style.new()
    axes = figure.subplots()
    scale, words = style.unit(metric)
    for index, line in enumerate(found):
        _line(axes, line, index, scale)
    everything: list[Shown] = [
        (axes, x, value, colour)
        for line, colour in zip(found, style.COLOURS, strict=False)
        for x, values in line.along.items()
        for value in values
    ]
    if baseline is not None:
        label, values = baseline
        mean, half = _interval([scale * value for value in values], scale * span(metric))
        text = f"baseline {style.shortened(label, 28)}: {number(mean, half, 2 if scale_of(metric).percent else None)}"
        text += "" if half is None else " (95 %)"
        axes.axhline(mean, color=style.GREY, linestyle="--", linewidth=1, label=text)
        if half is not None:
            axes.axhspan(mean - half, mean + half, color=style.GREY, alpha=0.12, linewidth=0)
        everything += [(axes, None, value, style.GREY) for value in values]
    _end(axes, everything, metric)
    positions = [x for line in found for x in line.along]
    style.positions_axis(axes, positions, geometric(positions))
    axes.set(xlabel=style.shortened(key, 48), ylabel=f"validation {words}")
    style.legend(figure, *axes.get_legend_handles_labels())
    return figure


def slices(found: Mapping[str, Sequence[tuple[float, float]]], metric: str) -> Figure:
    """Validation metric by each of several keys, a panel each, all other settings differing too."""
    scale, words = style.unit(metric)
    figure, axes = style.panels(list(found), share_x=False, share_y=True)
    for points, panel in zip(found.values(), axes, strict=True):
        xs = [x for x, _ in points]
        panel.scatter(xs, [scale * y for _, y in points], color=style.COLOURS[0], s=14, alpha=0.7, linewidths=0)
        if decades(xs):
            style.logarithmic(panel, xs)
    everything = [
        (panel, x, y, style.COLOURS[0]) for points, panel in zip(found.values(), axes, strict=True) for x, y in points
    ]
    _end(axes[0], everything, metric, "point")
    figure.supylabel(f"validation {words}", fontsize=9)
    style.legend(figure, *axes[0].get_legend_handles_labels())
    return figure


def by_data(found: Sequence[Line], key: str, metric: str) -> Figure:
    """Test error by the amount of data, or of wrong labels: mean and 95 % interval, a line for each arm."""
    figure = style.new()
    axes = figure.subplots()
    positions = [x for line in found for x in line.along]
    logarithmic = key == "train_size" and min(positions) > 0
    for index, line in enumerate(found):
        shift = 0.01 * (index - (len(found) - 1) / 2)  # of the axis, so that intervals do not hide each other
        _means(axes, line, index, metric, _beside(positions, shift, logarithmic))
    style.positions_axis(axes, positions, logarithmic)
    axes.set(xlabel=WORDS.get(key, style.shortened(f"data.{key}", 48)), ylabel=f"test {error(metric)}")
    style.legend(figure, *axes.get_legend_handles_labels())
    return figure


def _line(axes: Axes, line: Line, index: int, scale: float) -> None:
    colour, marker = style.COLOURS[index], style.MARKERS[index]
    means = [scale * statistics.fmean(values) for values in line.along.values()]
    axes.plot(list(line.along), means, color=colour, marker=marker, markersize=4.5, label=style.named(line.label))
    points = [(x, scale * value) for x, values in line.along.items() if len(values) > 1 for value in values]
    if points:
        xs, ys = zip(*points, strict=True)
        axes.scatter(xs, ys, color=colour, marker=marker, s=9, alpha=0.45, linewidths=0)


def _means(axes: Axes, line: Line, index: int, metric: str, beside: Callable[[float], float]) -> None:
    widest = style.unit(metric)[0] * span(metric)
    errors = ([as_error(value, metric) for value in values] for values in line.along.values())
    found = [_interval(values, widest) for values in errors]
    axes.errorbar(
        [beside(x) for x in line.along],
        [mean for mean, _ in found],
        [float("nan") if half is None else half for _, half in found],
        color=style.COLOURS[index],
        marker=style.MARKERS[index],
        markersize=4.5,
        elinewidth=0.9,
        capsize=2,
        label=style.named(line.label),
    )


def _interval(values: Sequence[float], widest: float) -> tuple[float, float | None]:
    """The mean of independent values and the half width of its 95 % interval, if they say so much."""
    found = over(values, max(map(abs, values)), "seeds")
    return found.mean, None if found.interval(span=widest) is None else found.half_width()


def _beside(positions: Sequence[float], shift: float, logarithmic: bool) -> Callable[[float], float]:
    low, high = min(positions), max(positions)
    return (lambda x: x * (high / low) ** shift) if logarithmic else (lambda x: x + (high - low) * shift)


def _end(axes: Axes, everything: Sequence[Shown], metric: str, what: str = "run") -> None:
    """End the axis before what collapsed, and mark where that lies; of panels, `axes` is the one with the legend."""
    scale, sign = style.unit(metric)[0], scale_of(metric).sign
    values = [scale * value for _, _, value, _ in everything]
    worst = worst_shown(values, metric)
    if worst is None:
        return
    at = end_axis(axes, "y", min(values, key=lambda value: sign * value), worst)
    marker = "v" if sign < 0 else "^"
    outside = [each for each, value in zip(everything, values, strict=True) if sign * (value - worst) > 0]
    for panel, x, colour in dict.fromkeys((panel, x, colour) for panel, x, _, colour in outside if x is not None):
        panel.scatter(x, at, marker=marker, color=colour, s=26, clip_on=False, zorder=4)
    beyond(axes, len(outside), what, max(values, key=lambda value: sign * value), marker)
