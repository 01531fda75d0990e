"""Penalties of outputs: of the logits (B, C) that a classifier gives; means over the batch."""

from typing import Any

from torch import Tensor, nn

from ...core import hyperparameters
from ...core.exact import at_precision_of, wide
from .weights import Penalty


class OutputPenalty(Penalty):
    """A penalty of a classifier's logits, a mean over the batch.

    Args:
        strength: λ >= 0.
        num_classes: None is a regression task, which has no logits.

    Raises:
        ValueError: a regression task.
    """

    def __init__(self, strength: float, num_classes: int | None = None) -> None:
        super().__init__()
        if num_classes is None:
            raise ValueError(f"{type(self).__name__} needs classes, and this is a regression task (num_classes=None)")
        self.register_buffer("strength", hyperparameters.strength(strength))

    def forward(self, network: nn.Module, logits: Tensor, **_: Any) -> Tensor:  # (B, C)
        mean = self.measure(wide(logits)).mean()
        return at_precision_of(mean, self.strength) * mean

    def measure(self, logits: Tensor) -> Tensor:
        """The penalty of each sample at strength 1."""
        raise NotImplementedError


class ConfidencePenalty(OutputPenalty):
    """-λ H(p), H(p) = -Σ_c p_c log p_c in nats, p the predicted probabilities (Pereyra et al. 2017, section 3).

    It is negative: between -λ log C and 0.
    """

    def measure(self, logits: Tensor) -> Tensor:
        log_p = logits.log_softmax(1)
        return (log_p.exp() * log_p).sum(1)


class SpectralDecoupling(OutputPenalty):
    """λ Σ_c z_c², z the logits (Pezeshki et al. 2021; no ½, so their λ is 2 of these)."""

    def measure(self, logits: Tensor) -> Tensor:
        return logits.square().sum(1)


class RDrop(OutputPenalty):
    """λ ½ [KL(p || q) + KL(q || p)], p and q of two passes with other dropout masks (Liang et al. 2021, equation 3).

    The data loss is the mean of those of the two passes, where theirs is the sum: their α is 2λ.
    Nothing without a layer that draws.
    """

    passes = 2

    def measure(self, logits: Tensor) -> Tensor:  # (2B, C)
        log_p, log_q = logits.log_softmax(1).chunk(2)
        return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1) / 2
