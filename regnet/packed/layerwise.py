"""LARS and LAMB for K networks at once."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ..core.exact import wide
from ..optimizers.layerwise import is_adapted, trust_ratio
from .optimizers import Number, Stacked, Tensors


def norms(x: Tensor) -> Tensor:
    """||x||_2 of each network's own, (K, *shape) ─► (K, 1, ...), in float32 at least."""
    return torch.linalg.vector_norm(wide(x), dim=tuple(range(1, x.ndim)), keepdim=True)


class LARS(Stacked):
    """v ← μ v + γ λ (g + β w); w ← w - v, λ = η ||w|| / (||g|| + β ||w||). `regnet.optimizers.LARS`."""

    buffers = ("momentum_buffer",)
    read: ClassVar = {
        "lr": lambda g: g["lr"],
        "decay": lambda g: g["weight_decay"],
        "momentum": lambda g: g["momentum"],
        "trust": lambda g: g["trust_coefficient"],
    }

    def factors(self, hyper: Tensors, steps: Tensor) -> Tensors:
        return hyper

    def rule(self, p: Tensor, g: Tensor, state: Tensors, n: Mapping[str, Number]) -> None:
        rate = n["lr"]
        if is_adapted(p[0]):
            size = norms(p)
            rate = rate * trust_ratio(n["trust"] * size, norms(g) + n["decay"] * size)
            g = g + p * n["decay"]
        p.sub_(state["momentum_buffer"].mul_(n["momentum"]).add_(g * rate))


class LAMB(Stacked):
    """w ← w - η ||w|| / ||r + λ w|| (r + λ w), r = m̂ / (√v̂ + ε). `regnet.optimizers.LAMB`."""

    buffers = ("exp_avg", "exp_avg_sq")
    read: ClassVar = {
        "lr": lambda g: g["lr"],
        "decay": lambda g: g["weight_decay"],
        "beta1": lambda g: g["betas"][0],
        "beta2": lambda g: g["betas"][1],
        "eps": lambda g: g["eps"],
    }

    def factors(self, hyper: Tensors, steps: Tensor) -> Tensors:
        return {
            "lr": hyper["lr"],
            "decay": hyper["decay"],
            "1-beta1": 1 - hyper["beta1"],
            "beta2": hyper["beta2"],
            "1-beta2": 1 - hyper["beta2"],
            "of m": 1 - hyper["beta1"] ** steps,
            "of v": 1 - hyper["beta2"] ** steps,
            "eps": hyper["eps"],
        }

    def rule(self, p: Tensor, g: Tensor, state: Tensors, n: Mapping[str, Number]) -> None:
        m = state["exp_avg"].lerp_(g, n["1-beta1"])
        v = state["exp_avg_sq"].mul_(n["beta2"]).add_(g * g * n["1-beta2"])
        r = (m / n["of m"]).div_((v / n["of v"]).sqrt_().add_(n["eps"]))
        rate = n["lr"]
        if is_adapted(p[0]):
            r = r + p * n["decay"]
            rate = rate * trust_ratio(norms(p), norms(r))
        p.sub_(r * rate)
