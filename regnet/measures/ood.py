"""Out-of-distribution detection: whether a network is less sure of samples that are none of its task's."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from ..core.exact import in_precision, wide
from ..core.metrics import Scale
from ..core.seeds import derive
from ..core.stochastic import has_random_layers
from ..core.values import whole
from ..data import DataModule
from ..training.objective import Objective
from .measure import Found, Measure
from .monte_carlo import of_classes, predict
from .part import Part, in_blocks

SCORES = ("probability", "energy", "information")


def auroc(inside: Tensor, outside: Tensor) -> float:  # (N,), (M,)
    """P(a > b) + P(a = b) / 2 for scores a of samples inside and b of samples outside, as of the Mann-Whitney test.

    >>> auroc(torch.tensor([3.0, 2.0]), torch.tensor([2.0, 1.0]))
    0.875
    """
    scores = torch.cat([inside, outside]).double()
    _, place, ties = scores.unique(return_inverse=True, return_counts=True)
    last = ties.cumsum(0).double()
    ranks = (last - (ties - 1) / 2)[place[: len(inside)]]  # from 1, the mean of ties
    n, m = len(inside), len(outside)
    return ((ranks.sum() - n * (n + 1) / 2) / (n * m)).item()


def fpr95(inside: Tensor, outside: Tensor) -> float:  # (N,), (M,)
    """The share of samples outside that pass where at least 95 % of those inside do.

    >>> fpr95(torch.arange(100.0), torch.tensor([4.0, 5.0, 6.0, 1.0]))
    0.5
    """
    kept = -(-95 * len(inside) // 100)
    threshold = inside.sort(descending=True).values[kept - 1]
    return (outside >= threshold).double().mean().item()


class OOD(Measure):
    """How well the network tells its own samples from others, as many at most: AUROC and FPR95 of three scores.

    ``ood_auroc_<score>`` and ``ood_fpr95_<score>``, the score ``probability``: max_c p_c (Hendrycks and Gimpel 2017);
    ``energy``: logsumexp of the logits (Liu et al. 2020, equation 4); ``information``: minus the mutual information of
    so many passes with the random layers drawing (Gal and Ghahramani 2016), for networks that have such layers.

    Args:
        data: other data of the same shape, of which the test part is taken. None for noise: of images every value
            uniform in [0, 1]; of tables the part's own columns, each in an order of its own.
        passes: of ``information``.
        seed: of the noise and the passes.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(self, data: DataModule | None = None, passes: int = 20, seed: int = 0, at: str = "end") -> None:
        super().__init__(at)
        self.data, self.passes, self.seed = data, whole(passes, "passes"), seed

    @property
    def scales(self) -> Mapping[str, Scale]:
        return {f"ood_auroc_{score}": Scale("max", 0, 1) for score in SCORES} | {
            f"ood_fpr95_{score}": Scale("min", 0, 1) for score in SCORES
        }

    def check(self, data: DataModule) -> None:
        super().check(data)
        if self.data is None:
            return
        self.data.setup()
        if (other := tuple(self.data.test.x[0].shape)) != data.shape:
            raise ValueError(f"data has samples of shape {[*other]}, and the network takes {[*data.shape]}")

    def measure(self, part: Part, val: Part) -> Found:
        inside = self._scores(part.objective, part.blocks())
        outside = self._scores(part.objective, in_blocks(self._others(part)))
        numbers: dict[str, float] = {}
        for score in inside:
            numbers[f"ood_auroc_{score}"] = auroc(inside[score], outside[score])
            numbers[f"ood_fpr95_{score}"] = fpr95(inside[score], outside[score])
        return Found(numbers)

    @torch.no_grad()
    def _scores(self, objective: Objective, inputs: Iterator[Tensor]) -> dict[str, Tensor]:
        network = objective.network
        score: dict[str, Callable[[Tensor], Tensor]] = {
            "probability": lambda x: wide(network(x)).softmax(1).max(1).values,
            "energy": lambda x: wide(network(x)).logsumexp(1),
        }
        if has_random_layers(network):
            score["information"] = lambda x: -of_classes(predict(network, x, self.passes))[1]["mutual_information"]
        torch.manual_seed(derive(self.seed, "passes"))
        found = [{name: of(x.clone()) for name, of in score.items()} for x in inputs]
        return {name: torch.cat([one[name] for one in found]) for name in score}

    def _others(self, part: Part) -> Iterator[Tensor]:
        dtype = next(part.network.parameters()).dtype
        if self.data is not None:
            self.data.setup()
            most = len(part.outputs[1])
            for x, _ in self.data.test_dataloader():
                x = x[:most].to(part.device)
                most -= len(x)
                yield in_precision(x, dtype)
                if most <= 0:
                    return
            return
        x = torch.cat([x for x, _ in part])
        generator = torch.Generator().manual_seed(derive(self.seed, "noise"))
        if x.ndim == 4:
            noise = torch.rand(x.shape, generator=generator).to(x)
        else:
            order = torch.rand(x.shape, generator=generator).argsort(0).to(x.device)
            noise = x.gather(0, order)
        yield noise
