"""What each setting contributes."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ...core.metrics import scale_of
from ..effects import Effect, Interaction
from ..importance import SEEDS, Share
from . import style

NAMED = 12  # bars, or pairs


def shares(found: Mapping[str, Share]) -> Figure:
    """How much of the variance of the validation metric each key explains, and by chance would, the largest first."""
    seeds = {key: share for key, share in found.items() if key == SEEDS}
    keys = dict([(key, share) for key, share in found.items() if key != SEEDS][:NAMED])
    bars = list((keys | seeds).items())[::-1]
    figure = style.new(5.2, 0.7 + 0.26 * len(bars))
    axes = figure.subplots()
    colours = [style.GREY if key == SEEDS else style.COLOURS[0] for key, _ in bars]
    axes.barh(range(len(bars)), [100 * share.explained for _, share in bars], color=colours, height=0.65)
    axes.set_yticks(range(len(bars)), [style.shortened(key, 32) for key, _ in bars])
    for index, (key, share) in enumerate(bars):
        ends = [100 * share.explained] if key == SEEDS else [100 * share.explained, 100 * share.by_chance]
        axes.text(max(ends) + 1.5, index, f"{ends[0]:.0f}", va="center", fontsize=8)
        axes.scatter(ends[1:], [index] * len(ends[1:]), color="black", marker="|", s=130, linewidths=1.5)
    axes.grid(False, axis="y")
    axes.set(xlabel="variance explained, %", xlim=(0, 108))
    return figure


def strongest(pairs: Sequence[Interaction]) -> list[Interaction]:
    """As many as are shown, those that interact most."""
    if len(pairs) <= NAMED:
        return list(pairs)
    return sorted(pairs, key=lambda pair: -abs(pair.difference.mean))[:NAMED]


def contributions(main: Sequence[Effect], pairs: Sequence[Interaction], metric: str) -> Figure:
    """Each factor's effect over all else, then without and with each other factor, with 95 % intervals."""
    rows: list[tuple[str, Effect, str, str]] = [(effect.name, effect, style.COLOURS[0], "o") for effect in main]
    for pair in pairs:
        rows.append((f"{pair.first}, without {pair.second}", pair.off, style.COLOURS[2], "^"))
        rows.append((f"{pair.first}, with {pair.second}", pair.on, style.COLOURS[1], "s"))
    scale, sign = (100 if scale_of(metric).percent else 1), scale_of(metric).sign
    figure = style.new(6.0, 0.6 + 0.21 * len(rows))
    axes = figure.subplots()
    axes.axvline(0, color=style.GREY, linewidth=1)
    for index, (_, effect, colour, marker) in enumerate(reversed(rows)):
        half = None if effect.half_width is None else scale * effect.half_width
        axes.errorbar(scale * effect.mean, index, xerr=half, color=colour, marker=marker, markersize=4.5, capsize=2.5)
    if pairs:
        axes.axhline(2 * len(pairs) - 0.5, color="#c8c8c8", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [style.shortened(name, 44) for name, *_ in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(f"validation {metric} {'gained' if sign < 0 else 'saved'}{', points' * scale_of(metric).percent}")
    return figure
