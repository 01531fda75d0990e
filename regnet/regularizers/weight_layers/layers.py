"""Weight layers: weight ─► weight in every forward pass, as torch parametrizations."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization, type_before_parametrizations

from ...core import hyperparameters, values
from ...core.exact import at_precision_of, wide
from ...core.parametrized import OnTop
from ...core.stochastic import RandomLayer
from ...core.weights import TRANSPOSED, Select, Weight, weights
from ..layers.dropout import inverted_bernoulli
from ..penalties.weights import Penalty, total
from .draws import normal, uniform


class WeightLayer(RandomLayer, OnTop):
    """A function of a weight that its layer uses in the weight's place.

    ``layer.put_on(network)`` gives each chosen weight a copy, but no frozen one; the weight itself stays what is
    trained, penalized, decayed and constrained (see `regnet.core.weights.Weight`). A tensor that several
    layers share is changed in the first of them.
    One that asks for a penalty of its own gives it by ``penalty(weight)``, see `WeightLayerPenalty`.

    Args:
        select: which parameters (see `regnet.core.weights.weights`); None is all weights, no biases.
    """

    scale: Mapping[str, float] | None = None  # none has factors on its strength

    def __init__(self, select: Select = None) -> None:
        super().__init__()
        self.select = select

    def forward(self, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def fit(self, weight: Weight) -> None:
        """Makes what it learns for the entries of `weight`; nothing by default."""

    def penalty(self, weight: Tensor) -> Tensor | None:
        """What it asks for beside the data loss, for the weight that it was put on; nothing by default."""
        return None

    def put_on(self, network: nn.Module) -> None:
        """Raises ValueError where there is no weight, or one that it cannot act on, or `select` matches none."""
        found = weights(network, self.select)
        if not found:
            frozen = weights(network, self.select, frozen=True)
            why = f": {', '.join(weight.name for weight in frozen)} have requires_grad=False" if frozen else ""
            raise ValueError(f"the network has no weights to act on{why}")
        for weight in found:
            if isinstance(weight.module, nn.RNNBase):
                raise ValueError(f"{weight.name} is of a {type(weight.module).__name__}, which reads its weights once")
            if weight.made is not None and not weight.layers:
                raise ValueError(
                    f"{weight.name} is made by {weight.made.by}, which sets it anew at each call; use the one in "
                    "torch.nn.utils.parametrizations"
                )
            layer = copy.deepcopy(self)
            layer.fit(weight)
            # unsafe: without a trial call, whose draws would move the stream of the initialization
            register_parametrization(weight.module, weight.attribute, layer, unsafe=True)


class WeightLayerPenalty(Penalty):
    """Σ layer.penalty(weight) over the weight layers of one class, each with the weight that it was put on."""

    on_weights = True

    def __init__(self, kind: type[WeightLayer], select: Select = None) -> None:
        super().__init__()
        self.kind, self.select = kind, select

    def begin(self, network: nn.Module) -> None:
        """Raises ValueError where no weight has such a layer, or the layer asks for nothing."""
        if not self._layers(network):
            raise ValueError(f"the network has no {self.kind.__name__} to ask for its penalty")
        if not self.is_asked(network):
            raise ValueError(f"{self.kind.__name__} asks for no penalty")

    @torch.no_grad()
    def is_asked(self, network: nn.Module) -> bool:
        """Whether its layers in the network ask for anything."""
        return any(layer.penalty(w.effective.tensor) is not None for w, layer in self._layers(network))

    def forward(self, network: nn.Module, **_: Tensor) -> Tensor:
        found = self._layers(network)
        asked = (layer.penalty(w.effective.tensor) for w, layer in found if w.trained or _learns(layer))
        if terms := [term for term in asked if term is not None]:
            return total(terms)
        return found[0][0].tensor.new_zeros((), dtype=torch.float32)  # all are frozen

    def _layers(self, network: nn.Module) -> list[tuple[Weight, WeightLayer]]:
        return [
            (weight, layer)
            for weight in weights(network, self.select, frozen=True)
            for layer in weight.layers
            if isinstance(layer, self.kind)
        ]


def _learns(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


class DropConnect(WeightLayer):
    """w * b / (1 - r) with b ~ Bernoulli(1 - r) for every weight (Wan et al. 2013, equation 2; inverted).

    E[w̃] = w and Var[w̃] = w² r / (1 - r). In evaluation the weight itself. One mask for a whole batch, as fastai's
    `WeightDropout`; the paper draws one for each sample, and evaluates by sampling a Gaussian of the same moments.
    """

    def __init__(self, rate: float = 0.5, select: Select = None) -> None:
        super().__init__(select)
        self.register_buffer("rate", hyperparameters.rate(rate))

    def forward(self, weight: Tensor) -> Tensor:
        if not self.training:
            return weight
        return weight * inverted_bernoulli(weight.shape, self.rate, weight.dtype)

    def extra_repr(self) -> str:
        return f"rate={self.rate.item():g}"


class L0(WeightLayer):
    """w z with z = clip(s (ζ - γ) + γ, 0, 1) and s = σ((log u - log(1 - u) + log α) / β), u ~ U(0, 1).

    Hard-concrete gates (Louizos et al. 2018, equations 10 to 13) with a learned log α. In evaluation
    z = clip(σ(log α) (ζ - γ) + γ, 0, 1), which closes gates to exact zeros. The penalty is λ E||w||_0, the expected
    number of weights that are not zero: λ Σ σ(log α - β log(-γ / ζ)). A sum beside a mean loss, as in the paper's
    equation 1; its experiments write λ as 0.1 / N for N training samples, 1.7e-6 for the 60,000 of MNIST.

    Args:
        strength: λ >= 0.
        rate: r = 1 - σ(log α) to begin with, in (0, 1), as the authors' ``droprate_init``: the probability that
            s < ½. Fewer gates are exactly closed, P(z = 0) = r / (r + (1 - r) (-ζ / γ)^β) with (-ζ / γ)^β = 4.95:
            2 % at r = 0.1, 17 % at 0.5, 45 % at 0.8.
        groups: one gate for each ``weight``, or for all weights of one output unit (``out``) or input unit (``in``).
        select: which parameters (see `regnet.core.weights.weights`); None is all weights, no biases.

    Raises:
        ValueError: a value out of range.
    """

    BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1

    def __init__(self, strength: float, rate: float = 0.5, groups: str = "weight", select: Select = None) -> None:
        super().__init__(select)
        self.register_buffer("strength", hyperparameters.strength(strength))
        # a gate that is never closed has no gradient
        self.register_buffer("rate", hyperparameters.fraction(rate, "rate"))
        self.groups = values.one_of(groups, "groups", ("weight", "out", "in"))

    def fit(self, weight: Weight) -> None:
        shape = list(weight.effective.tensor.shape)
        if self.groups != "weight":
            # (out, in, ...), but of transposed convolutions (in, out, ...)
            axis = (self.groups == "in") != isinstance(weight.module, TRANSPOSED)
            shape = [size if i == axis else 1 for i, size in enumerate(shape)]
        log_alpha = torch.logit(1 - at_precision_of(weight.tensor, self.rate)).to(weight.tensor.real)
        self.log_alpha = nn.Parameter(log_alpha.expand(shape).clone())

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.gate().to(weight.dtype)

    def gate(self) -> Tensor:
        """Sampled in training, else its deterministic form."""
        if self.training:
            s = torch.sigmoid((torch.logit(uniform(self.log_alpha)) + self.log_alpha) / self.BETA)
        else:
            s = torch.sigmoid(self.log_alpha)
        return (s * (self.ZETA - self.GAMMA) + self.GAMMA).clamp(0, 1)

    def penalty(self, weight: Tensor) -> Tensor:
        open_ = torch.sigmoid(wide(self.log_alpha) - self.BETA * math.log(-self.GAMMA / self.ZETA))
        return at_precision_of(open_, self.strength) * (weight.numel() // open_.numel()) * open_.sum()

    def extra_repr(self) -> str:
        return f"strength={self.strength.item():g}, groups={self.groups}"


class VariationalDropout(WeightLayer):
    """w + σ ε with a learned log σ² for every weight, and the penalty λ KL / N (Molchanov et al. 2017).

    With log α = log σ² - log w² and a log-uniform prior, KL = Σ k₁ - k₁ S(k₂ + k₃ log α) + ½ log(1 + 1/α), S the
    sigmoid (equation 14; λ = 1 is the variational bound, divided by its N samples as the loss is). In evaluation
    w, or zero where log α > `threshold`. Linear layers and convolutions add the noise that it makes of their outputs,
    √(σ² * x²) ε for each sample apart (Kingma et al. 2015, equation 6); other layers use sampled weights.

    Args:
        strength: λ >= 0.
        num_samples: N of the training set.
        log_variance: log σ² to begin with.
        threshold: of log α; 3 is a dropout rate α / (1 + α) of 0.95.
        select: which parameters (see `regnet.core.weights.weights`); None is all weights, no biases.
    """

    K1, K2, K3 = 0.63576, 1.87320, 1.48695
    LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

    def __init__(
        self,
        strength: float,
        num_samples: int,
        log_variance: float = -8.0,
        threshold: float = 3.0,
        select: Select = None,
    ) -> None:
        super().__init__(select)
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.register_buffer("num_samples", hyperparameters.radius(num_samples, "num_samples"))
        self.log_variance = nn.Parameter(hyperparameters.exact(values.finite(log_variance, "log_variance")))
        self.threshold = values.finite(threshold, "threshold")
        self.at_outputs = False

    def fit(self, weight: Weight) -> None:
        if weight.made is not None:
            by = weight.made.by
            raise ValueError(f"{weight.name} is made by {by} of others: there is no variance of its own to learn")
        if weight.tensor.is_complex():
            raise ValueError(f"{weight.name} is complex, and its variance is not one number; leave it out by select")
        self.log_variance = nn.Parameter(torch.full_like(weight.tensor, self.log_variance.item()))
        kind = type_before_parametrizations(weight.module)
        self.at_outputs = kind in self.LINEAR and weight.name.rpartition(".")[2] == "weight"
        if self.at_outputs:
            weight.module.register_forward_hook(self.add_noise)

    def forward(self, weight: Tensor) -> Tensor:
        if not self.training:
            return weight * (self.log_alpha(weight) <= self.threshold)
        if self.at_outputs:
            return weight
        return weight + (torch.exp(self.log_variance / 2) * normal(weight)).to(weight.dtype)

    def add_noise(self, module: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        """The layer's output with the noise of its weights."""
        if not self.training:
            return output
        (x,), variance = inputs, self.log_variance.exp()
        linear = F.linear if isinstance(module, nn.Linear) else module._conv_forward
        spread = (linear(x.square(), variance, None) + 1e-8).sqrt()  # the root of zero has no gradient
        return output + (spread * normal(output)).to(output.dtype)

    def log_alpha(self, weight: Tensor) -> Tensor:
        weight = wide(weight)
        return self.log_variance.to(weight.dtype) - (weight.square() + 1e-16).log()

    def penalty(self, weight: Tensor) -> Tensor:
        log_alpha = self.log_alpha(weight)
        kl = self.K1 - self.K1 * torch.sigmoid(self.K2 + self.K3 * log_alpha) + F.softplus(-log_alpha) / 2
        strength, count = (at_precision_of(kl, number) for number in (self.strength, self.num_samples))
        return strength * kl.sum() / count

    def extra_repr(self) -> str:
        return f"strength={self.strength.item():g}, threshold={self.threshold:g}"
