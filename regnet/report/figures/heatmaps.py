"""The metric by two swept numbers."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...core.metrics import scale_of
from ..sweep import Grid
from . import style
from .edge import worst_shown

PRINTED = 100  # cells, up to which their values are printed


def heatmap(grid: Grid, x_key: str, y_key: str, metric: str) -> Figure:
    """Mean validation metric by two swept numbers; the best cell, or all that equal it, framed."""
    scale, words = style.unit(metric)
    rows, columns = len(grid.ys), len(grid.xs)
    figure = style.new(max(4.2, 1.6 + 0.55 * min(columns, 12)), max(2.8, 1.2 + 0.36 * min(rows, 12)))
    axes = figure.subplots()
    cells = [[float("nan") if cell is None else scale * cell for cell in row] for row in grid.cells]
    values = [value for row in cells for value in row if value == value]
    worst = worst_shown(values, metric)
    sign = scale_of(metric).sign
    bad = max(values, key=lambda value: sign * value) if worst is None else worst
    low, high = sorted((bad, min(values, key=lambda value: sign * value)))
    image = axes.imshow(
        cells, cmap="cividis" if sign < 0 else "cividis_r", origin="lower", aspect="auto", vmin=low, vmax=high
    )
    axes.grid(False)
    _ticks(axes, "x", grid.xs)
    _ticks(axes, "y", grid.ys)
    axes.set(xlabel=style.shortened(x_key, 40), ylabel=style.shortened(y_key, 32))
    for row, column in grid.best(sign):
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=style.COLOURS[1], linewidth=2.2)
        axes.add_patch(frame)
    if rows * columns <= PRINTED:
        shade: Any = image.norm  # whose stubs know arrays only
        for y, line in enumerate(cells):
            for x, value in enumerate(line):
                text = "–" if value != value else f"{value:.1f}" if scale_of(metric).percent else style.tick(value)
                dark = shade(value) < 0.5 if sign < 0 else shade(value) > 0.5
                colour = "white" if dark else "black"
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
    extend = "neither" if worst is None else "min" if sign < 0 else "max"
    figure.colorbar(image, ax=axes, label=f"validation {words}", extend=extend)
    return figure


def _ticks(axes: Axes, side: str, positions: Sequence[float]) -> None:
    every = -(-len(positions) // 24)  # more would overlap
    places = range(0, len(positions), every)
    names = [style.tick(positions[place]) for place in places]
    axes.set(**{f"{side}ticks": places, f"{side}ticklabels": names})
    if side == "x" and len(positions) > 5:
        axes.tick_params(axis="x", labelrotation=45)
