"""Monte-Carlo dropout: many stochastic passes of a trained network, their mean and their spread."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ..core.stochastic import stochastic
from ..core.tasks import Classification, wide
from ..training.objective import Objective
from .task_metrics import Batch, passed


@torch.no_grad()
def predict(network: nn.Module, x: Tensor, passes: int) -> Tensor:
    """The outputs of so many stochastic passes (Gal and Ghahramani 2016), (passes, *outputs).

    Raises:
        ValueError: passes below 1, or a network without random layers.
    """
    if not isinstance(passes, int) or passes < 1:
        raise ValueError(f"passes must be a whole number >= 1, got {passes!r}")
    with stochastic(network):
        return torch.stack([network(x.clone()) for _ in range(passes)])  # which may change it in place


def of_classes(logits: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # (T, B, C)
    """log p̄ (B, C), p̄ the mean of the passes' probabilities; and of each sample, in nats:

    ``entropy``: H[p̄], the total uncertainty. ``mutual_information``: H[p̄] - mean H[p], the part of it that is the
    passes' disagreement, and so the network's (BALD, Houlsby et al. 2011).
    """
    log_p = wide(logits).log_softmax(2)
    log_mean = log_p.logsumexp(0) - torch.tensor(len(logits), device=logits.device).log()
    total, within = _entropy(log_mean), _entropy(log_p).mean(0)
    return log_mean, {"entropy": total, "mutual_information": (total - within).clamp(min=0)}  # < 0 by rounding alone


def of_numbers(predictions: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # (T, B, 1)
    """The mean of the passes (B, 1), and ``std``, their standard deviation, of each sample, in the target's unit."""
    predictions = wide(predictions)
    return predictions.mean(0), {"std": predictions.std(0, correction=0).squeeze(1)}


def measure_passes(
    objective: Objective,
    batches: Iterable[Batch],
    passes: int,
    perturb: Callable[[Tensor, Tensor], Batch] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """The task's metrics of the predictive mean, and the means over all samples of what tells its uncertainty.

    Raises:
        ValueError: as of `predict`.
    """
    summary = of_classes if isinstance(objective.loss, Classification) else of_numbers

    def forward(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return summary(predict(objective.network, x, passes))

    results, targets = zip(*passed(objective, batches, perturb, device, forward), strict=True)
    means, spreads = zip(*results, strict=True)
    metrics = objective.loss.metrics(torch.cat(means), torch.cat(targets))
    return metrics | {name: torch.cat([one[name] for one in spreads]).mean().item() for name in spreads[0]}


def _entropy(log_p: Tensor) -> Tensor:
    """-Σ p log p over the last axis, with 0 log 0 = 0."""
    return -(log_p.exp() * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(-1)
