"""Dropout that learns its rate."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core import hyperparameters
from ...core.exact import at_precision_of, wide
from .dropout import PenalizedLayer


class ConcreteDropout(PenalizedLayer):
    """y = x b̃ / (1 - p), b̃ = sigmoid((logit u - logit p) / t), u ~ U(0, 1), learned p (Gal, Hron, Kendall 2017).

    b̃ is the concrete relaxation of Bernoulli(1 - p) (section 3, t = 0.1 as there; inverted), through which the logit
    of p is trained with the weights, one at each site. `penalty` is the part of the paper's KL term that is the
    layer's own, the entropy (equation 4): -λ K H(p) / N, H(p) = -p log p - (1 - p) log(1 - p), for N training samples.
    K counts the inputs of the layer behind, of which each has one row of weights: the features (the last axis), or the
    channels of feature maps (B, C, H, W), however many pixels they have. The penalty draws p to 0.5, and the data loss
    draws it back. λ = 1 is the paper's for a data loss in nats per sample.

    In feature maps each pixel has a mask of its own; the authors' SpatialConcreteDropout drops whole channels.

    The KL's other part is l² Σ w² / (2 (1 - p)) over the weights behind the layer. It is left to `L2`, which such a
    layer cannot know of and which has no 1 / (1 - p): so p is a little higher than in the paper.

    Args:
        rate: p at the start, in (0, 1).
        strength: λ >= 0.
        num_samples: N, the size of the training set.
    """

    TEMPERATURE = 0.1

    def __init__(self, rate: float = 0.1, strength: float = 1.0, num_samples: int = 1) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.logit(hyperparameters.fraction(rate, "rate").to(torch.get_default_dtype())))
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.register_buffer("num_samples", hyperparameters.count(num_samples, "num_samples"))
        self.units = 0  # K: no state, as each forward pass finds it in the shape

    @property
    def rate(self) -> Tensor:
        """p, as learned so far."""
        return torch.sigmoid(self.logit.float())

    def forward(self, x: Tensor) -> Tensor:  # (B, ...)
        self.units = x.shape[1 if x.ndim > 3 else -1]
        if not self.training:
            return x
        dtype = torch.promote_types(x.dtype, torch.float32)
        logit, noise = self.logit.to(dtype), torch.rand(x.shape, device=x.device, dtype=dtype).logit()
        keep = torch.sigmoid((noise - logit) / self.TEMPERATURE)
        return x * (keep / torch.sigmoid(-logit)).to(x.dtype)

    def penalty(self) -> Tensor:
        logit = wide(self.logit)
        p = torch.sigmoid(logit)
        entropy = -p * F.logsigmoid(logit) - (1 - p) * F.logsigmoid(-logit)
        strength, count = (at_precision_of(entropy, number) for number in (self.strength, self.num_samples))
        return -strength * self.units / count * entropy

    def extra_repr(self) -> str:
        return f"rate={self.rate.item():g}"
