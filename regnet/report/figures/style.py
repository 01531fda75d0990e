"""One look for every figure: readable at the width of a paper's column and without colours."""

import textwrap
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008), "Color Universal Design": told apart with every kind of colour vision. Its yellow is too pale.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#6b6b6b"
SHOWN = len(COLOURS)  # lines or panels in one figure
RC = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # letters stay letters, as journals ask
    "svg.hashsalt": "regnet",  # the same runs make the same file
    "savefig.dpi": 200,
}


def styled() -> rc_context:
    """Within it, figures are drawn and saved in this look."""
    return rc_context(RC)


def new(width: float = 5.2, height: float = 3.2) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def panels(count: int, height: float = 2.2, same_scale: bool = True) -> tuple[Figure, list[Axes]]:
    """At most three in a row, with the same epochs and, by default, the same scale."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = new(max(5.2, 2.4 * columns), 0.5 + height * rows)
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=same_scale, squeeze=False).flat)
    for unused in axes[count:]:
        unused.remove()
    for above in axes[max(0, count - columns) : count]:
        above.tick_params(labelbottom=True)  # where the panel below it is missing
    return figure, axes[:count]


def legend(figure: Figure, axes: Axes) -> None:
    """Above the axes, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        labels = [textwrap.shorten(label, 60, placeholder=" …") for label in labels]
        columns = 1 if max(map(len, labels)) > 34 else 2 if max(map(len, labels)) > 18 else 3
        figure.legend(handles, labels, loc="outside upper left", ncols=columns)


def wrapped(label: str, width: int = 28) -> str:
    """In lines short enough for the title of a panel."""
    return textwrap.fill(label, width, max_lines=3, placeholder=" …")


def positions_axis(axes: Axes, positions: Sequence[float], logarithmic: bool) -> None:
    """Ticks where the runs are; logarithmic with room for 0 at its left."""
    positions = sorted(set(positions))
    if logarithmic:
        smallest = min(value for value in positions if value > 0)
        if positions[0] == 0:
            axes.set_xscale("symlog", linthresh=smallest, linscale=0.6)
        else:
            axes.set_xscale("log")
    if len(positions) <= 10:
        axes.set_xticks(positions, [f"{value:g}" for value in positions], minor=False)
        axes.set_xticks([], minor=True)
        if len(positions) > 7:
            axes.tick_params(axis="x", labelrotation=45)
