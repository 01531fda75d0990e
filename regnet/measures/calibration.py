"""Calibration: whether a network is right as often as it says."""

import math
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from ..core.exact import wide
from ..core.metrics import Scale
from ..core.values import whole
from .measure import Found, Measure
from .part import Part


def brier(p: Tensor, y: Tensor) -> float:  # (N, C), (N,)
    """mean over samples of Σ_c (p_c - [c = y])², from 0 to 2 (Brier 1950).

    That of scikit-learn's `brier_score_loss` for two classes is half of it.

    >>> brier(torch.tensor([[0.8, 0.2], [0.4, 0.6]]), torch.tensor([0, 0]))
    0.4
    """
    p = p.double()
    return (p - F.one_hot(y, p.shape[1])).square().sum(1).mean().item()


def ece(confidence: Tensor, correct: Tensor, bins: int = 15, equal_mass: bool = False) -> float:  # (N,), (N,)
    """Σ_b n_b / N · |accuracy_b - confidence_b|, the expected calibration error (Guo et al. 2017, equation 3).

    Args:
        equal_mass: bins of as many samples each, to one (Nguyen and O'Connor 2015), in place of bins of equal width.

    >>> round(ece(torch.tensor([0.9, 0.9, 0.6, 0.6]), torch.tensor([1, 0, 1, 1])), 3)
    0.4
    """
    count, accuracy, mean = reliability(confidence, correct, bins, equal_mass)
    return ((count / count.sum()) * (accuracy - mean).abs().nan_to_num(0)).sum().item()


def reliability(
    confidence: Tensor, correct: Tensor, bins: int = 15, equal_mass: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each bin of confidence how many samples it has, their accuracy and their mean confidence, (bins,) each.

    Bins of equal width are (lower, upper]. Accuracy and confidence of an empty one are NaN.
    """
    confidence, correct = confidence.double(), correct.double()
    if equal_mass:
        # in the order of their confidence; equal ones share a bin, whatever order they stand in
        _, place, ties = confidence.unique(return_inverse=True, return_counts=True)
        first = ties.cumsum(0) - ties
        index = (first[place] * bins).div(len(confidence), rounding_mode="floor").long()
    else:
        index = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    member = F.one_hot(index, bins).double()  # (N, bins)
    count = member.sum(0)
    return count, member.T @ correct / count, member.T @ confidence / count


def classwise_ece(p: Tensor, y: Tensor, bins: int = 15) -> float:  # (N, C), (N,)
    """The mean over classes of the ECE of "it is class c", of which p_c is the confidence (Kull et al. 2019)."""
    return sum(ece(p[:, c], y == c, bins) for c in range(p.shape[1])) / p.shape[1]


def temperature(logits: Tensor, y: Tensor) -> float:  # (N, C), (N,)
    """T > 0 for which softmax(logits / T) has the least NLL (Guo et al. 2017, section 4.2), from 1/1000 to 1000.

    By bisection: the NLL is convex in 1/T.
    """
    logits = logits.double()
    own = logits.gather(1, y[:, None])[:, 0]

    def slope(inverse: float) -> float:  # of the NLL in 1/T
        p = (inverse * logits).softmax(1)
        return ((p * logits).sum(1) - own).mean().item()

    low, high = math.log(1e-3), math.log(1e3)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


class Calibration(Measure):
    """How far confidence is from accuracy, as it is and after temperature scaling fitted on validation.

    ``brier``, ``ece_equal_mass`` and ``ece_classwise``; ``scaled_nll``, ``scaled_brier`` and ``scaled_ece`` (of bins of
    equal width) of the scaled probabilities, and the ``temperature``: above 1 the network was too confident. Accuracy
    is the same at every temperature. NLL and ECE as they are belong to every run. Those of validation are scaled by
    what was fitted to it, and look better than they are; those of test do not.

    Args:
        bins: of confidence.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(self, bins: int = 15, at: str = "end") -> None:
        super().__init__(at)
        self.bins = whole(bins, "bins")

    @property
    def scales(self) -> Mapping[str, Scale]:
        share, positive = Scale("min", 0, 1), Scale("min", 0)
        return {
            "brier": Scale("min", 0, 2),
            "ece_equal_mass": share,
            "ece_classwise": share,
            "scaled_nll": positive,
            "scaled_brier": Scale("min", 0, 2),
            "scaled_ece": share,
            "temperature": Scale(None, 0),
        }

    def measure(self, part: Part, val: Part) -> Found:
        logits, y = part.outputs
        found = temperature(*val.outputs)
        p, scaled = wide(logits).softmax(1), (wide(logits) / found).softmax(1)
        confidence, correct = _judged(p, y)
        numbers = {
            "brier": brier(p, y),
            "ece_equal_mass": ece(confidence, correct, self.bins, equal_mass=True),
            "ece_classwise": classwise_ece(p, y, self.bins),
            "scaled_nll": F.cross_entropy(logits.double() / found, y).item(),
            "scaled_brier": brier(scaled, y),
            "scaled_ece": ece(*_judged(scaled, y), self.bins),
            "temperature": found,
        }
        _, accuracy, _ = reliability(confidence, correct, self.bins)
        centres = [(i + 0.5) / self.bins for i in range(self.bins)]
        return Found(numbers, {"reliability": {"confidence": centres, "accuracy": with_gaps(accuracy)}})


def with_gaps(values: Tensor) -> list[float | None]:
    """As a column of a series: None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()]


def _judged(p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    confidence, prediction = p.max(1)
    return confidence, prediction == y
