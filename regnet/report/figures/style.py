"""One look for every figure: readable at the width of a paper's column and without colours."""

import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from itertools import pairwise
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import NullLocator

from ...core.metrics import scale_of
from ...core.spelling import short

# Okabe and Ito (2008), "Color Universal Design": told apart with every kind of colour vision. Its yellow is too pale.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#6b6b6b"
TICKS = 14  # that have room on an axis
FONT = "DejaVu Sans"  # comes with matplotlib
RC: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.parse_math": False,  # a $ in a label is a $
    "axes.formatter.useoffset": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # letters stay letters, as journals ask
    "figure.dpi": 200,
    "savefig.dpi": 200,
}


def styled() -> AbstractContextManager[None]:
    """Within it, figures are drawn and saved in this look."""
    return rc_context(RC)


def new(width: float = 5.2, height: float = 2.9) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def unit(metric: str) -> tuple[float, str]:
    """The factor and the name with its unit: shares, such as accuracy, are shown in percent."""
    return (100, f"{metric}, %") if scale_of(metric).percent else (1, metric)


def panels(labels: Sequence[str], share_x: bool, share_y: bool) -> tuple[Figure, list[Axes]]:
    """One for each label, at most two in a row: all figures are as wide as a column of the page."""
    columns = min(len(labels), 2)
    rows = -(-len(labels) // columns)
    titles = [wrapped(label) for label in labels]
    lines = max(title.count("\n") for title in titles)
    figure = new(5.2, 0.4 + (1.9 + 0.15 * lines) * rows)
    axes = list(figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False).flat)
    for unused in axes[len(labels) :]:
        unused.remove()
    for above in axes[max(0, len(labels) - columns) : len(labels)]:
        above.tick_params(labelbottom=True)  # where the panel below it is missing
    for panel, title in zip(axes, titles, strict=False):
        panel.set_title(title, y=1.0)  # its place is otherwise looked for at each drawing
    return figure, axes[: len(labels)]


def legend(figure: Figure, handles: Sequence, labels: Iterable[str]) -> None:
    """Above the axes, where it covers no data; the figure grows by it."""
    labels = [shortened(label, 64) for label in labels]
    if not labels:
        return
    longest = max(map(len, labels))
    columns = 1 if longest > 36 else 2 if longest > 20 else 3
    rows = -(-len(labels) // columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.17 * rows)
    figure.legend(handles, labels, loc="outside upper left", ncols=columns)


def named(label: str) -> str:
    """The label of what is drawn: one that began with _ would not be in the legend."""
    return f" {label}"


def shortened(label: str, width: int = 64) -> str:
    """In one line of at most so many letters, the middle left out, and without letters that the font lacks."""
    known = _letters()
    label = "".join(
        letter if ord(letter) in known else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(label.split())
    )
    half = width // 2 - 1
    return label if len(label) <= width else f"{label[:half].rstrip()} … {label[-half + 1 :].lstrip()}"


def wrapped(label: str, width: int = 28, lines: int = 3) -> str:
    """In lines short enough for the title of a panel."""
    return textwrap.fill(shortened(label, (width - 4) * lines), width, max_lines=lines, placeholder=" …")


def positions_axis(axes: Axes, positions: Sequence[float], decades: bool) -> None:
    """Ticks where the runs are, if there is room for them."""
    if decades:
        logarithmic(axes, positions)
    positions = sorted(set(positions))
    places = axes.xaxis.get_transform().transform(positions)
    if min(right - left for left, right in pairwise(places)) * TICKS >= places[-1] - places[0]:
        axes.set_xticks(positions, [tick(value) for value in positions], minor=False)
        axes.set_xticks([], minor=True)
        if len(positions) > 7:
            axes.tick_params(axis="x", labelrotation=45)


def tick(value: float) -> str:
    """0.123456 as 0.123, but 12345 as it is."""
    return short(value, 3 if abs(value) < 1000 else 6)


def logarithmic(axes: Axes, positions: Sequence[float]) -> None:
    """With room for 0 at its left if that is one of the positions."""
    if min(positions) > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=min(value for value in positions if value > 0), linscale=0.6)
    numbers(axes.xaxis)


def numbers(axis: Axis) -> None:
    """Ticks of a logarithmic axis as 0.01 and without those between decades: powers of ten would have to be typeset."""
    axis.set_major_formatter(lambda value, _: short(value, 6))
    axis.set_minor_locator(NullLocator())


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())
