"""What each setting contributes."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ..effects import SEEDS, Effect, Interaction
from . import style

NAMED = 12  # bars or rows


def shares(found: Mapping[str, float]) -> Figure | None:
    """How much of the variance of the validation metric each key explains."""
    if not found:
        return None
    keys = [(key, share) for key, share in found.items() if key != SEEDS][:NAMED]
    bars = [(SEEDS, found[SEEDS]), *reversed(keys)]
    figure = style.new(5.2, 0.9 + 0.28 * len(bars))
    axes = figure.subplots()
    colours = [style.GREY] + [style.COLOURS[0]] * len(keys)
    drawn = axes.barh([name for name, _ in bars], [100 * share for _, share in bars], color=colours, height=0.65)
    axes.bar_label(drawn, fmt="%.0f", padding=3, fontsize=8)
    axes.grid(False, axis="y")
    axes.set(xlabel="variance of the validation metric explained, %", xlim=(0, 108))
    return figure


def contributions(main: Sequence[Effect], pairs: Sequence[Interaction], metric: str) -> Figure | None:
    """Each factor's effect over all else, then alone and beside each other factor, with 95 % intervals."""
    if not main:
        return None
    rows: list[tuple[str, Effect, str]] = [(effect.name, effect, style.COLOURS[0]) for effect in main]
    for pair in pairs[:NAMED]:
        rows.append((f"{pair.first}, without {pair.second}", pair.off, style.COLOURS[2]))
        rows.append((f"{pair.first}, with {pair.second}", pair.on, style.COLOURS[1]))
    scale = 100 if metric == "accuracy" else 1
    figure = style.new(5.6, 0.8 + 0.27 * len(rows))
    axes = figure.subplots()
    axes.axvline(0, color=style.GREY, linewidth=1)
    for index, (_, effect, colour) in enumerate(reversed(rows)):
        half = None if effect.half_width is None else scale * effect.half_width
        axes.errorbar(scale * effect.mean, index, xerr=half, color=colour, marker="o", markersize=5, capsize=3)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(f"validation {'accuracy gained, points' if metric == 'accuracy' else metric + ' saved'}")
    return figure
