"""Constraints: weight ─► weight, after the optimizer's step."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ...core import hyperparameters
from ...core.exact import at_precision_of, wide
from ...core.weights import Select, weights
from .decay import Update


class Constraint(Update):
    """weight ─► weight, after the optimizer's step.

    ``constraint(network)`` puts the weights that are not frozen into the feasible set, in place, whether or not they
    have a gradient. Under weight norm it is the weight itself, w = g v / ||v||, that is put there, by new values of g
    and v; under a weight layer it is the weight that the layer acts on.

    Raises:
        ValueError: when called on, or attached to, a network that has a weight that other parametrizations compute.
    """

    on_weights = True

    def __init__(self, select: Select = None) -> None:
        super().__init__()
        self.select = select

    def project(self, units: Tensor) -> Tensor:  # (groups, units, fan-in...)
        """The feasible weights nearest to `units`."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, network: nn.Module) -> None:
        for weight in weights(network, self.select):
            weight.check_writable()
            itself = weight.effective
            itself.units.copy_(self.project(itself.units))
            weight.write(itself.tensor)

    def check(self, network: nn.Module) -> None:
        for weight in weights(network, self.select, frozen=True):
            weight.check_writable()

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        self.check(network)
        return optimizer.register_step_post_hook(lambda *_: self(network))


class MaxNorm(Constraint):
    """||w_unit||_2 <= radius for the incoming weights of every unit (Srivastava et al. 2014, section 5.1).

    A unit is a row of a Linear weight, a filter of a Conv. Keras's `MaxNorm` with the axis found by itself.
    """

    def __init__(self, radius: float, select: Select = None) -> None:
        super().__init__(select)
        self.register_buffer("radius", hyperparameters.radius(radius))

    def project(self, units: Tensor) -> Tensor:
        norm = _norm(units)
        radius = at_precision_of(norm, self.radius)
        return units * (radius / torch.maximum(norm, radius))


class MinMaxNorm(Constraint):
    """min <= ||w_unit||_2 <= max: w ← w (ρ clip(||w||, min, max) + (1 - ρ) ||w||) / ||w||. Keras's `MinMaxNorm`.

    Below ρ = 1 each step makes only that share of the way to the feasible weights. A unit without any weights has
    no direction to grow in and stays.

    Args:
        min: the least norm >= 0.
        max: the largest norm >= min.
        rate: ρ in [0, 1]; Keras's name, and no fraction dropped.
        select: which parameters (see `regnet.core.weights.weights`); None is all weights, no biases.

    Raises:
        ValueError: max < min.
    """

    def __init__(self, min: float = 0.0, max: float = 1.0, rate: float = 1.0, select: Select = None) -> None:
        super().__init__(select)
        self.register_buffer("min", hyperparameters.strength(min, "min"))
        self.register_buffer("max", hyperparameters.radius(max, "max"))
        self.register_buffer("rate", hyperparameters.ratio(rate, "rate"))
        if max < min:
            raise ValueError(f"max must be at least min, got min={min} and max={max}")

    def project(self, units: Tensor) -> Tensor:
        norm = _norm(units)
        least, most, rate = (at_precision_of(norm, number) for number in (self.min, self.max, self.rate))
        feasible = torch.minimum(torch.maximum(norm, least), most)
        factor = rate * feasible / norm + (1 - rate)
        return torch.where((norm == 0) | (norm == feasible), units, units * factor)


class UnitNorm(Constraint):
    """||w_unit||_2 = 1: w ← w / ||w||. Keras's `UnitNorm` with the axis found by itself.

    A unit without any weights has no direction and stays.
    """

    def project(self, units: Tensor) -> Tensor:
        norm = _norm(units)
        return units / torch.where(norm == 0, 1, norm)


class NonNegative(Constraint):
    """w >= 0: w ← max(w, 0). Keras's `NonNeg`.

    Raises:
        ValueError: when attached to a network with complex weights.
    """

    def check(self, network: nn.Module) -> None:
        super().check(network)
        for weight in weights(network, self.select, frozen=True):
            if weight.tensor.is_complex():
                raise ValueError(f"{weight.name} is complex, and has no sign; leave it out by select")

    def project(self, units: Tensor) -> Tensor:
        return units.relu()


class SpectralClip(Constraint):
    """σ_i(W) <= radius: W = U diag(σ) Vᵀ ← U diag(min(σ, radius)) Vᵀ, W of shape (units, fan-in).

    The projection onto the ball of the spectral norm. W of a Conv is its filters as rows, as in Yoshida and Miyato
    (2017, section 3.2); the operator that the convolution is has other singular values, which depend on the size of
    the image (Sedghi et al. 2019, who clip those).
    """

    def __init__(self, radius: float, select: Select = None) -> None:
        super().__init__(select)
        self.register_buffer("radius", hyperparameters.radius(radius))

    def project(self, units: Tensor) -> Tensor:
        return _with_singular_values(units, lambda s: torch.minimum(s, at_precision_of(s, self.radius)))


class OrthogonalProjection(Constraint):
    """W Wᵀ = I, or WᵀW = I where W has more units than inputs: W = U diag(σ) Vᵀ ← U Vᵀ, the polar factor.

    The nearest matrix with orthonormal rows or columns (Fan and Hoffman 1955; Higham 2008, theorem 8.4). W of a Conv
    is its filters as rows.
    """

    def project(self, units: Tensor) -> Tensor:
        return _with_singular_values(units, torch.ones_like)


def _norm(units: Tensor) -> Tensor:
    """||w||_2 of every unit, (groups, units, 1...), in float32 at least."""
    dtype = torch.promote_types(units.dtype, torch.float32)
    return torch.linalg.vector_norm(units, dim=tuple(range(2, units.ndim)), keepdim=True, dtype=dtype)


def _with_singular_values(units: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """U diag(change(σ)) Vᵀ of the matrices U diag(σ) Vᵀ, (groups, units, fan-in), in float32 at least.

    A matrix whose σ do not change stays as it is, to the bit. So does one that is not finite, which has no such
    decomposition: training tells divergence by itself.
    """
    matrices = wide(units.flatten(2))
    u, s, vh = torch.linalg.svd(matrices.nan_to_num(0, 0, 0), full_matrices=False)
    new = change(s)  # (groups, min(units, fan-in))
    moved = matrices.isfinite().all(-1).all(-1) & (new != s).any(-1)
    changed = (u * new.unsqueeze(-2)) @ vh
    return torch.where(moved[:, None, None], changed, matrices).view(units.shape)
