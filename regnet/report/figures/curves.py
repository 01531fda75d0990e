"""What happened in training, epoch by epoch."""

from collections.abc import Mapping, Sequence
from math import isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ...core.metrics import scale_of
from ..sweep import decades
from . import style

Columns = Mapping[str, Sequence[float]]  # "epoch" and others: a number for each epoch


def learning(shown: Mapping[str, Columns], metric: str) -> Figure:
    """`train` and `validation` by epoch, the gap between them shaded, a panel for each label."""
    scale, words = style.unit(metric)
    figure, axes = style.panels(list(shown), share_x=True, share_y=True)
    for columns, panel in zip(shown.values(), axes, strict=True):
        fitted, held_out = ([scale * value for value in columns[name]] for name in ("train", "validation"))
        epochs = columns["epoch"]
        panel.fill_between(epochs, fitted, held_out, color=style.COLOURS[1], alpha=0.15, linewidth=0, label="gap")
        panel.plot(epochs, held_out, color=style.COLOURS[1], label="validation")
        panel.plot(epochs, fitted, color=style.COLOURS[0], linestyle="--", label="train")
    everything = [value for columns in shown.values() for name in ("train", "validation") for value in columns[name]]
    finite = [value for value in everything if isfinite(value)]
    if not scale_of(metric).percent and finite and min(finite) > 0 and decades(finite):
        axes[0].set_yscale("log")
        style.numbers(axes[0].yaxis)
    _axes(figure, axes, words)
    style.legend(figure, *axes[0].get_legend_handles_labels())
    return figure


def course(shown: Mapping[str, Columns], name: str) -> Figure:
    """Any metric by epoch, a panel for each label; a lone dot where it was logged once."""
    figure, axes = style.panels(list(shown), share_x=True, share_y=True)
    for columns, panel in zip(shown.values(), axes, strict=True):
        panel.plot(columns["epoch"], columns["value"], color=style.COLOURS[0], marker=".")
    _axes(figure, axes, name)
    return figure


def losses(shown: Mapping[str, Columns]) -> Figure:
    """The objective by epoch as what it is made of: the data loss and each penalty, stacked, a panel for each label."""
    names = list(dict.fromkeys(name for columns in shown.values() for name in columns if name != "epoch"))
    looks = dict(zip(names, [*style.COLOURS, *[style.GREY] * len(names)], strict=False))
    figure, axes = style.panels(list(shown), share_x=True, share_y=False)
    for columns, panel in zip(shown.values(), axes, strict=True):
        parts = {name: column for name, column in columns.items() if name != "epoch"}
        colours = [looks[name] for name in parts]
        panel.stackplot(columns["epoch"], *parts.values(), colors=colours, edgecolor="white", linewidth=0.4)
        panel.set_ylim(bottom=0)
    _axes(figure, axes, "training objective")
    style.legend(figure, [Patch(color=looks[name]) for name in names], names)
    return figure


def _axes(figure: Figure, axes: Sequence[Axes], name: str) -> None:
    axes[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))  # shared by all
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(style.shortened(name), fontsize=9)
