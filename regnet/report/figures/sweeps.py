"""The metric along what was swept."""

import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..statistics import mean_interval
from ..study import METRICS, Study
from ..sweep import Grid, Line, as_error, baseline, decades, error
from . import style

PRINTED = 100  # cells, up to which a heatmap says their values


def unit(metric: str) -> tuple[float, str]:
    """The factor and the name with its unit: accuracy is shown in percent."""
    return (100, "accuracy, %") if metric == "accuracy" else (1, metric)


def along(study: Study, found: Sequence[Line], name: str) -> Figure | None:
    """Validation metric by one swept number: all seeds as points, their mean as a line, the baseline as a band."""
    if not found:
        return None
    figure = style.new()
    axes = figure.subplots()
    scale, words = unit(study.metric)
    for index, line in enumerate(found[: style.SHOWN]):
        _line(axes, line, index, lambda value: scale * value)
    none = baseline(study)
    if none is not None and all(none.label != line.label for line in found):
        mean, half = mean_interval([scale * value for value in none.values("val", study.metric)])
        band = "" if half is None else " ± 95 %"
        axes.axhline(mean, color=style.GREY, linestyle="--", linewidth=1, label=f"without: {none.label}{band}")
        if half is not None:
            axes.axhspan(mean - half, mean + half, color=style.GREY, alpha=0.12, linewidth=0)
    positions = [x for line in found for x in line.along]
    style.positions_axis(axes, positions, decades(positions))
    axes.set(xlabel=name, ylabel=f"validation {words}")
    style.legend(figure, axes)
    return figure


def by_data(found: Sequence[Line], key: str, metric: str) -> Figure | None:
    """Test error by the amount of data, or of wrong labels: mean and 95 % interval, a line for each arm."""
    if not found:
        return None
    figure = style.new()
    axes = figure.subplots()
    for index, line in enumerate(found[: style.SHOWN]):
        _line(axes, line, index, lambda value: as_error(value, metric), interval=True)
    positions = [x for line in found for x in line.along]
    style.positions_axis(axes, positions, key == "train_size" and min(positions) > 0)
    axes.set(xlabel=f"data.{key}", ylabel=f"test {error(metric)}")
    style.legend(figure, axes)
    return figure


def heatmap(study: Study, x_name: str, y_name: str, grid: Grid) -> Figure:
    """Mean validation metric by two swept numbers; the best cell is framed."""
    scale, words = unit(study.metric)
    rows, columns = len(grid.ys), len(grid.xs)
    figure = style.new(max(4.2, 1.6 + 0.55 * min(columns, 12)), max(2.8, 1.2 + 0.36 * min(rows, 12)))
    axes = figure.subplots()
    cells = [[float("nan") if cell is None else scale * cell for cell in row] for row in grid.cells]
    sign = METRICS[study.metric]
    values = sorted((value for row in cells for value in row if value == value), key=lambda value: -sign * value)
    # What diverged would leave one colour for all the rest.
    worst = values[len(values) // 10]
    low, high = sorted((worst, values[-1]))
    colours = "cividis" if sign < 0 else "cividis_r"
    image = axes.imshow(cells, cmap=colours, origin="lower", aspect="auto", vmin=low, vmax=high)
    axes.grid(False)
    axes.set_xticks(range(columns), [f"{x:g}" for x in grid.xs], rotation=45 if columns > 5 else 0)
    axes.set_yticks(range(rows), [f"{y:g}" for y in grid.ys])
    axes.set(xlabel=x_name, ylabel=y_name)
    row, column = grid.best(sign)
    axes.add_patch(_frame(column, row))
    if rows * columns <= PRINTED:
        for y, line in enumerate(cells):
            for x, value in enumerate(line):
                bright = (
                    (value - low) * (-sign) > 0.55 * (high - low) * (-sign) if sign < 0 else value < (low + high) / 2
                )
                form = f"{value:.1f}" if scale == 100 else f"{value:.3g}"
                text = "–" if value != value else form
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color="black" if bright else "white")
    figure.colorbar(image, ax=axes, label=f"validation {words}", extend="min" if sign < 0 else "max")
    return figure


def _frame(column: int, row: int):
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=2.2)


def _line(axes: Axes, line: Line, index: int, shown, interval: bool = False) -> None:
    colour, marker = style.COLOURS[index], style.MARKERS[index]
    numbers = {x: [shown(value) for value in values] for x, values in line.along.items()}
    means = [statistics.fmean(values) for values in numbers.values()]
    axes.plot(list(numbers), means, color=colour, marker=marker, markersize=4.5, label=line.label)
    points = [(x, value) for x, values in numbers.items() if len(values) > 1 for value in values]
    if interval:
        halves = [mean_interval(values)[1] or 0 for values in numbers.values()]
        axes.errorbar(list(numbers), means, halves, color=colour, capsize=3, linewidth=0, elinewidth=1)
    elif points:
        axes.scatter(*zip(*points, strict=True), color=colour, marker=marker, s=9, alpha=0.45, linewidths=0)
