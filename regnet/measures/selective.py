"""Selective prediction: how many mistakes are left where a network may decline to answer."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..core.exact import wide
from ..core.metrics import Scale
from .measure import Found, Measure
from .part import Part

POINTS = 20  # of the curve


def risks(confidence: Tensor, wrong: Tensor) -> Tensor:  # (N,), (N,) ─► (N,)
    """The error among the k most confident samples, for k = 1 to N (El-Yaniv and Wiener 2010).

    Samples of one confidence are taken in any order, and each counts as wrong as their mean is: the risk expected.

    >>> risks(torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 1, 1])).tolist()
    [0.0, 0.5, 0.6666666666666666]
    """
    wrong = wrong.double()
    _, place = confidence.unique(return_inverse=True)
    count = torch.zeros(int(place.max()) + 1, dtype=torch.double, device=wrong.device)
    share = count.index_add(0, place, wrong) / count.index_add(0, place, torch.ones_like(wrong))
    found = share[place[confidence.argsort(descending=True, stable=True)]].cumsum(0)
    return found / torch.arange(1, len(wrong) + 1, device=wrong.device)


class Selective(Measure):
    """How well the probability of the predicted class tells mistakes apart.

    ``aurc`` = 1/N Σ_k risk(k), the area under the risk-coverage curve: the error, averaged over how many of the most
    confident samples are answered (Geifman and El-Yaniv 2017). ``excess_aurc`` is what it has more than the best order
    of the same mistakes, all of them last (Geifman et al. 2019, equation 3, of the samples themselves).
    """

    @property
    def scales(self) -> Mapping[str, Scale]:
        return {"aurc": Scale("min", 0, 1), "excess_aurc": Scale("min", 0, 1)}

    def measure(self, part: Part, val: Part) -> Found:
        logits, y = part.outputs
        confidence, prediction = wide(logits).softmax(1).max(1)
        wrong = prediction != y
        risk = risks(confidence, wrong)
        best = risks(-wrong.double(), wrong)
        aurc = risk.mean().item()
        coverage = [(i + 1) / POINTS for i in range(POINTS)]
        curve = [risk[max(1, round(share * len(risk))) - 1].item() for share in coverage]
        return Found(
            {"aurc": aurc, "excess_aurc": aurc - best.mean().item()},
            {"risk_coverage": {"coverage": coverage, "risk": curve}},
        )
