"""Where an axis ends, so that runs that collapsed do not flatten the picture of all others."""

from collections.abc import Sequence
from math import ceil, isfinite

from matplotlib.axes import Axes

from ...core.metrics import scale_of
from . import style


def edge(errors: Sequence[float]) -> float | None:
    """The largest error to show; None where all fit.

    With t the worst of the best two thirds, errors up to 2t, or twice as far from the best as t, are typical. The
    axis ends there if the others would take more than half of it.
    """
    best, worst = min(errors), max(errors)
    typical = sorted(errors)[ceil(2 * len(errors) / 3) - 1]
    end = typical + max(typical, typical - best)
    if end <= best or worst <= best + 2 * (end - best):
        return None
    return max(error for error in errors if error <= end)


def worst_shown(values: Sequence[float], metric: str) -> float | None:
    """`edge` of numbers as figures show them, shares in percent; None where all fit."""
    scale = scale_of(metric)
    if scale.sign >= 0:
        return edge(values)
    best = (100 if scale.percent else scale.high) if isfinite(scale.high) else max(values)
    end = edge([best - value for value in values])
    return None if end is None else best - end


def end_axis(axes: Axes, side: str, good: float, bad: float) -> float:
    """Limit the axis to `good`, the best value, and `bad`, the worst that is shown, with room for what lies beyond.

    Args:
        side: "x" or "y".

    Returns:
        Where marks for points beyond the axis go.
    """
    width = bad - good or abs(bad) or 1.0
    limits = sorted((good - 0.06 * width, bad + 0.12 * width))
    axes.set(**{f"{side}lim": limits})
    return bad + 0.12 * width


def beyond(axes: Axes, count: int, what: str, worst: float, marker: str) -> None:
    """Say in the legend how many lie beyond the axis, `what` being one of them."""
    words = f"{count} {what}{'s' * (count > 1)} beyond the axis, to {style.tick(worst)}"
    axes.scatter([], [], marker=marker, color=style.GREY, s=22, label=words)
