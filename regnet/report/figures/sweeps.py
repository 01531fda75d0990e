"""The metric along what was swept."""

import statistics
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..statistics import mean_interval
from ..study import METRICS
from ..sweep import Grid, Line, as_error, decades, error
from . import style
from .edge import beyond, edge, end_axis

PRINTED = 100  # cells, up to which a heatmap says their values
WORDS = {
    "train_size": "training samples (data.train_size)",
    "label_noise": "share of wrong training labels (data.label_noise)",
}


def along(found: Sequence[Line], key: str, metric: str, baseline: tuple[str, Sequence[float]] | None) -> Figure:
    """Validation metric by one swept number: the runs as points, their means as a line.

    Args:
        found: the lines, no more than there are colours.
        baseline: label and independent numbers of an arm that is no part of the lines, drawn as a band.
    """
    figure = style.new()
    axes = figure.subplots()
    scale, words = _unit(metric)
    for index, line in enumerate(found):
        _line(axes, line, index, scale)
    everything = [(x, value, index) for index, line in enumerate(found) for x, at in line.along.items() for value in at]
    if baseline is not None:
        label, values = baseline
        mean, half = mean_interval([scale * value for value in values])
        text = f"baseline {style.plain(label, 40)}: {mean:.4g}" + ("" if half is None else f" ± {half:.2g} (95 %)")
        axes.axhline(mean, color=style.GREY, linestyle="--", linewidth=1, label=text)
        if half is not None:
            axes.axhspan(mean - half, mean + half, color=style.GREY, alpha=0.12, linewidth=0)
        everything += [(None, value, None) for value in values]
    _end(axes, everything, metric)
    positions = [x for line in found for x in line.along]
    style.positions_axis(axes, positions, decades(positions))
    axes.set(xlabel=style.plain(key), ylabel=f"validation {words}")
    style.legend(figure, *axes.get_legend_handles_labels())
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
    axes.set(xlabel=WORDS.get(key, style.plain(f"data.{key}")), ylabel=f"test {error(metric)}")
    style.legend(figure, *axes.get_legend_handles_labels())
    return figure


def heatmap(grid: Grid, x_key: str, y_key: str, metric: str) -> Figure:
    """Mean validation metric by two swept numbers; the best cell, or all that equal it, framed."""
    scale, words = _unit(metric)
    rows, columns = len(grid.ys), len(grid.xs)
    figure = style.new(max(4.2, 1.6 + 0.55 * min(columns, 12)), max(2.8, 1.2 + 0.36 * min(rows, 12)))
    axes = figure.subplots()
    cells = [[float("nan") if cell is None else scale * cell for cell in row] for row in grid.cells]
    values = [value for row in cells for value in row if value == value]
    worst = _worst_shown(values, metric)
    sign = METRICS[metric]
    bad = max(values, key=lambda value: sign * value) if worst is None else worst
    low, high = sorted((bad, min(values, key=lambda value: sign * value)))
    image = axes.imshow(
        cells, cmap="cividis" if sign < 0 else "cividis_r", origin="lower", aspect="auto", vmin=low, vmax=high
    )
    axes.grid(False)
    _ticks(axes, "x", grid.xs)
    _ticks(axes, "y", grid.ys)
    axes.set(xlabel=style.plain(x_key, 48), ylabel=style.plain(y_key, 40))
    for row, column in grid.best(sign):
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=style.COLOURS[1], linewidth=2.2)
        axes.add_patch(frame)
    if rows * columns <= PRINTED:
        for y, line in enumerate(cells):
            for x, value in enumerate(line):
                text = "–" if value != value else f"{value:.1f}" if metric == "accuracy" else f"{value:.3g}"
                dark = image.norm(value) < 0.5 if sign < 0 else image.norm(value) > 0.5
                colour = "white" if dark else "black"
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
    extend = "neither" if worst is None else "min" if sign < 0 else "max"
    figure.colorbar(image, ax=axes, label=f"validation {words}", extend=extend)
    return figure


def _unit(metric: str) -> tuple[float, str]:
    """The factor and the name with its unit: accuracy is shown in percent."""
    return (100, "accuracy, %") if metric == "accuracy" else (1, metric)


def _line(axes: Axes, line: Line, index: int, scale: float) -> None:
    colour, marker = style.COLOURS[index], style.MARKERS[index]
    means = [scale * statistics.fmean(values) for values in line.along.values()]
    axes.plot(list(line.along), means, color=colour, marker=marker, markersize=4.5, label=line.label)
    points = [(x, scale * value) for x, values in line.along.items() if len(values) > 1 for value in values]
    if points:
        axes.scatter(*zip(*points, strict=True), color=colour, marker=marker, s=9, alpha=0.45, linewidths=0)


def _means(axes: Axes, line: Line, index: int, metric: str, beside: Callable[[float], float]) -> None:
    found = [mean_interval([as_error(value, metric) for value in values]) for values in line.along.values()]
    axes.errorbar(
        [beside(x) for x in line.along],
        [mean for mean, _ in found],
        [float("nan") if half is None else half for _, half in found],
        color=style.COLOURS[index],
        marker=style.MARKERS[index],
        markersize=4.5,
        elinewidth=0.9,
        capsize=2,
        label=line.label,
    )


def _beside(positions: Sequence[float], shift: float, logarithmic: bool) -> Callable[[float], float]:
    low, high = min(positions), max(positions)
    return (lambda x: x * (high / low) ** shift) if logarithmic else (lambda x: x + (high - low) * shift)


def _worst_shown(values: Sequence[float], metric: str) -> float | None:
    """Where `edge` cuts values as they are shown: accuracies in percent, all else as it is."""
    best = 100 if metric == "accuracy" else 0
    end = edge([abs(best - value) if metric == "accuracy" else value for value in values])
    return None if end is None else best - end if metric == "accuracy" else end


def _end(axes: Axes, everything: Sequence[tuple[float | None, float, int | None]], metric: str) -> None:
    scale, sign = _unit(metric)[0], METRICS[metric]
    values = [scale * value for _, value, _ in everything]
    worst = _worst_shown(values, metric)
    if worst is None:
        return
    at = end_axis(axes, "y", min(values, key=lambda value: sign * value), worst)
    marker = "v" if sign < 0 else "^"
    outside = [
        (x, index) for (x, _, index), value in zip(everything, values, strict=True) if sign * (value - worst) > 0
    ]
    for x, index in set(outside):
        if index is not None:
            axes.scatter(x, at, marker=marker, color=style.COLOURS[index], s=26, clip_on=False, zorder=4)
    beyond(axes, len(outside), max(values, key=lambda value: sign * value), marker)


def _ticks(axes: Axes, side: str, positions: Sequence[float]) -> None:
    every = -(-len(positions) // 24)  # more would overlap
    places = range(0, len(positions), every)
    names = [f"{positions[place]:.3g}" for place in places]
    axes.set(**{f"{side}ticks": places, f"{side}ticklabels": names})
    if side == "x" and len(positions) > 5:
        axes.tick_params(axis="x", labelrotation=45)
