"""Proximal updates: penalties that are minimized exactly after the optimizer's step, so that weights become zero.

Convention: what is minimized is loss + λ R(w), and a penalty of the same λ has the same optimum.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.utils.hooks import RemovableHandle

from ...core import hyperparameters
from ...core.exact import at_precision_of
from ...core.weights import Select, grouped, weights
from .decay import Update

Number = float | Tensor

ITERATIONS = 8  # of Newton: 7 leave a relative error of 1e-6 at most, where step sizes differ by 16 orders of magnitude


class Proximal(Update):
    """w ← argmin_w Σ_i (w_i - u_i)² / (2 η_i) + λ R(w) after each step, from u, the weights where the step ended.

    η_i is the optimizer's own step size of each entry, see `step_sizes`: under Adam the distance is measured in
    Adam's own metric (Yun et al. 2021, algorithm 1), without which the optimum would be another one. It acts on what
    the optimizer has moved: no frozen weights, none without a gradient.

    Args:
        strength: λ >= 0.
        select: which parameters (see `regnet.core.weights.weights`); None is all weights, no biases.
        scale: factors on the strength by patterns of `select`.
    """

    on_weights = True
    fine: ClassVar[bool] = True  # λη, of an optimizer's step η

    def __init__(self, strength: float, select: Select = None, scale: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.select, self.scale = select, scale

    def prox(self, units: Tensor, step: Tensor) -> Tensor:  # both (groups, units, fan-in...)
        """argmin_w Σ_i (w_i - u_i)² / (2 step_i) + R(w); λ is in the step."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, network: nn.Module, steps: Mapping[str, Tensor]) -> None:
        """Acts on the weights that have a step size in `steps`, by their `key` and like them."""
        for factor, found in grouped(network, self.select, self.scale):
            for weight in found:
                if weight.key in steps:
                    step = steps[weight.key]
                    step = weight._replace(tensor=factor * at_precision_of(step, self.strength) * step).units
                    weight.units.copy_(self.prox(weight.units.to(step.dtype), step))

    def check(self, network: nn.Module) -> None:
        """Raises ValueError for weights in half precision, for complex ones, which have no threshold, and for computed
        ones, whose step sizes are not known.
        """
        super().check(network)
        for weight in weights(network, self.select, frozen=True):
            if weight.tensor.is_complex():
                raise ValueError(f"{weight.name} is complex, and has no threshold; leave it out by select")
            if (how := weight.made) is not None:
                raise ValueError(
                    f"{weight.name} is made by {how.by} of what the optimizer steps on, and a proximal update needs "
                    "the step sizes of the weight itself; leave it out by select"
                )

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        """Raises ValueError for an optimizer whose step sizes are not known, and as `check` does."""
        self.check(network)
        if type(optimizer) not in STEP_SIZES:
            known = ", ".join(kind.__name__ for kind in STEP_SIZES)
            raise ValueError(
                f"{type(self).__name__} follows the step sizes of {known}, not those of {type(optimizer).__name__}"
            )

        def after_step(*_: object) -> None:
            own = {id(w) for group in optimizer.param_groups for w in group["params"]}
            found = [weight for weight in weights(network, self.select) if id(weight.tensor) in own]
            moved = [weight for weight in found if weight.has_gradient]
            self(network, {weight.key: step_sizes(optimizer, weight.tensor) for weight in moved})

        return optimizer.register_step_post_hook(after_step)


class ProximalL1(Proximal):
    """R(w) = Σ|w|: w ← sign(u) max(|u| - λη, 0), the soft threshold (Daubechies et al. 2004). Exact zeros.

    The lasso's own algorithm: loss and strength as for the penalty `L1`, scikit-learn's `Lasso` (alpha = λ) for a
    loss of half the mean squared error.
    """

    def prox(self, units: Tensor, step: Tensor) -> Tensor:
        return units - torch.minimum(torch.maximum(units, -step), step)


class ProximalL0(Proximal):
    """R(w) = number of w ≠ 0: w ← u where u² > 2λη, else 0, the hard threshold (Blumensath and Davies 2008).

    What is kept is not shrunk. The problem is not convex: what is reached depends on the start and the step size.
    """

    def prox(self, units: Tensor, step: Tensor) -> Tensor:
        return torch.where(units.square() <= 2 * step, 0, units)


class ProximalGroupLasso(Proximal):
    """R(w) = Σ_g √|g| ||w_g||_2: whole groups become zero (Yuan and Lin 2006, equation 2.1).

    With b_i = λ √|g| η_i: w_g = 0 where Σ_i (u_i / b_i)² <= 1, else w_i = u_i θ / (θ + b_i), θ = ||w_g||_2 the root
    of Σ_i (u_i / (θ + b_i))² = 1 (Deleu and Bengio 2021, section 3.2). For one η that is u_g max(1 - b / ||u_g||, 0).

    Args:
        groups: ``output``: the incoming weights of a unit, a filter; ``input``: the outgoing weights of an input,
            all that a channel is multiplied by.

    Raises:
        ValueError: `groups` is neither.
    """

    def __init__(
        self,
        strength: float,
        groups: str = "output",
        select: Select = None,
        scale: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(strength, select, scale)
        if groups not in ("output", "input"):
            raise ValueError(f"groups must be output or input, got {groups!r}")
        self.groups = groups

    def prox(self, units: Tensor, step: Tensor) -> Tensor:
        one = 1 if self.groups == "output" else 2  # the axis along which the groups lie
        axes = [axis for axis in range(1, units.ndim) if axis != one]
        size = math.prod(units.shape[axis] for axis in axes)
        return group_soft_threshold(units, math.sqrt(size) * step, axes)


def group_soft_threshold(u: Tensor, b: Tensor, axes: list[int]) -> Tensor:
    """argmin_w Σ_i (w_i - u_i)² / (2 b_i) + ||w||_2 of each group, which reaches along `axes`.

    Newton's method on 1/√φ(θ) = 1, φ(θ) = Σ_i (u_i / (θ + b_i))², as in trust-region methods (Conn et al. 2000,
    section 7.3): 1/√φ is concave and increasing, so that it converges from the left, and at once where all b_i are
    equal. It starts at a bound from below, where every u_i / (θ + b_i) <= 1.
    """

    def total(x: Tensor) -> Tensor:
        return x.sum(axes, keepdim=True)

    tiny = torch.finfo(u.dtype).tiny
    bound = torch.maximum((u.abs() - b).amax(axes, keepdim=True), total(u * u).sqrt() - b.amax(axes, keepdim=True))
    theta = bound.clamp(min=0)
    for _ in range(ITERATIONS):
        denominator = (theta + b).clamp(min=tiny)
        ratios = (u / denominator).square()
        phi = total(ratios)
        theta = theta + (phi.sqrt() - 1).clamp(min=0) * phi / total(ratios / denominator).clamp(min=tiny)
    zero = total((u / b.clamp(min=tiny)).square()) <= 1
    return torch.where(zero, 0, u * (theta / (theta + b).clamp(min=tiny)))


def step_sizes(optimizer: Optimizer, w: Tensor) -> Tensor:
    """η_i: how far the optimizer's last step moved each entry of `w`, per unit of a gradient that stays the same."""
    group = next(group for group in optimizer.param_groups if any(p is w for p in group["params"]))
    return STEP_SIZES[type(optimizer)](group, optimizer.state[w], w)


def sgd_step_size(lr: Number, momentum: Number, dampening: Number = 0.0) -> Number:
    """η (1 - τ) / (1 - μ): momentum μ sums a gradient up to that, dampening τ included."""
    return lr * (1 - dampening * (momentum > 0)) / (1 - momentum)


def adam_step_size(v: Tensor, lr: Number, eps: Number, correction: Number) -> Tensor:
    """η / (√v̂ + ε), v̂ = v / (1 - β₂ᵗ)."""
    return lr / ((v / correction).sqrt() + eps)


def _sgd(group: Mapping[str, Any], _: Mapping[str, Tensor], w: Tensor) -> Tensor:
    step = sgd_step_size(group["lr"], group["momentum"], group["dampening"])
    return torch.ones_like(w, dtype=torch.promote_types(w.dtype, torch.float32)) * step


def _adam(group: Mapping[str, Any], state: Mapping[str, Tensor], w: Tensor) -> Tensor:
    wide = torch.promote_types(w.dtype, torch.float32)
    v = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"].to(wide)
    correction = -torch.expm1(state["step"].to(v.device, wide) * math.log(group["betas"][1]))
    return adam_step_size(v, group["lr"], group["eps"], correction)


STEP_SIZES: dict[type[Optimizer], Callable[..., Tensor]] = {SGD: _sgd, Adam: _adam, AdamW: _adam}
