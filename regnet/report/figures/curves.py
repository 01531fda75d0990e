"""What happened in training, epoch by epoch."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from ..history import ledger
from ..sweep import decades
from . import style

Histories = Mapping[str, Mapping[str, Sequence[float]]]  # label of the arm ─► column ─► a number an epoch


def learning(histories: Histories, metric: str) -> Figure | None:
    """Train and validation by epoch, both measured in evaluation mode, the gap between them shaded."""
    train, val = f"train_eval/{metric}", f"val/{metric}"
    shown = {label: history for label, history in histories.items() if history.get(train) and history.get(val)}
    if not shown:
        return None
    scale = 100 if metric == "accuracy" else 1
    figure, axes = style.panels(len(shown))
    for (label, history), panel in zip(shown.items(), axes, strict=True):
        fitted, held_out = ([scale * value for value in history[name]] for name in (train, val))
        epochs = range(1, len(fitted) + 1)
        panel.fill_between(epochs, fitted, held_out, color=style.COLOURS[1], alpha=0.15, linewidth=0, label="gap")
        panel.plot(epochs, held_out, color=style.COLOURS[1], label="validation")
        panel.plot(epochs, fitted, color=style.COLOURS[0], linestyle="--", label="train")
        panel.set_title(style.wrapped(label))
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    everything = [value for history in shown.values() for name in (train, val) for value in history[name]]
    if metric != "accuracy" and min(everything) > 0 and decades(everything):
        axes[0].set_yscale("log")
        axes[0].yaxis.set_minor_locator(NullLocator())
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("accuracy, %" if metric == "accuracy" else metric, fontsize=9)
    style.legend(figure, axes[0])
    return figure


def losses(histories: Histories) -> Figure | None:
    """The objective by epoch as what it is made of: the data loss and each penalty, stacked."""
    shown = {label: found for label, history in histories.items() if (found := ledger(history))}
    if not shown:
        return None
    names = list(dict.fromkeys(name for found in shown.values() for name in found))
    looks = dict(zip(names, [*style.COLOURS, *[style.GREY] * len(names)], strict=False))
    figure, axes = style.panels(len(shown), same_scale=False)
    drawn = {}
    for (label, found), panel in zip(shown.items(), axes, strict=True):
        epochs = range(1, len(found["data loss"]) + 1)
        areas = panel.stackplot(epochs, *found.values(), colors=[looks[name] for name in found], linewidth=0, alpha=0.8)
        drawn |= dict(zip(found, areas, strict=True))
        panel.set_title(style.wrapped(label))
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("train loss", fontsize=9)
    figure.legend([drawn[name] for name in names], names, loc="outside upper left", ncols=4)
    return figure
