"""RMSprop, Adagrad and NAdam for K networks at once."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from .optimizers import Number, Stacked, Tensors


class Adaptive(Stacked):
    """Rules that divide by the size of earlier gradients, and count their steps in the state."""

    def state_of(self, k: int, names: Sequence[str]) -> dict[int, dict[str, Tensor]]:
        state = super().state_of(k, names)
        for own in state.values():
            own["step"] = self.counts[k].float()
        return state

    @staticmethod
    def decayed(p: Tensor, g: Tensor, n: Mapping[str, Number]) -> Tensor:
        decay = n["decay"]
        return g + p * decay if isinstance(decay, Tensor) or decay else g


class RMSprop(Adaptive):
    """v ← α v + (1-α) g²; w ← w - η g / (√v + ε), with λ w in g. `torch.optim.RMSprop`.

    Where it is centered, v - ḡ² stands for v, ḡ the average of g; with momentum μ, b ← μ b + g / (√v + ε), w ← w - η b.
    """

    read: ClassVar = {
        "lr": lambda g: g["lr"],
        "decay": lambda g: g["weight_decay"],
        "momentum": lambda g: g["momentum"],
        "alpha": lambda g: g["alpha"],
        "eps": lambda g: g["eps"],
    }

    def __init__(self, params: Tensors, groups: Sequence[dict[str, Any]]) -> None:
        more = {"momentum_buffer": groups[0]["momentum"] > 0, "grad_avg": groups[0]["centered"]}
        self.buffers = ("square_avg", *(name for name, kept in more.items() if kept))  # type: ignore[misc]  # its own
        super().__init__(params, groups)

    def factors(self, hyper: Tensors, steps: Tensor) -> Tensors:
        return hyper | {"1-alpha": 1 - hyper["alpha"]}

    def rule(self, p: Tensor, g: Tensor, state: Tensors, n: Mapping[str, Number]) -> None:
        g = self.decayed(p, g, n)
        v = state["square_avg"].mul_(n["alpha"]).add_(g * g * n["1-alpha"])
        if "grad_avg" in state:
            mean = state["grad_avg"].lerp_(g, n["1-alpha"])
            v = v - mean * mean
        step = g / v.sqrt().add_(n["eps"])
        if "momentum_buffer" in state:
            step = state["momentum_buffer"].mul_(n["momentum"]).add_(step)
        p.sub_(step * n["lr"])


class Adagrad(Adaptive):
    """v ← v + g²; w ← w - η / (1 + (t-1) κ) g / (√v + ε), with λ w in g. `torch.optim.Adagrad`, κ = `lr_decay`."""

    buffers = ("sum",)
    read: ClassVar = {
        "lr": lambda g: g["lr"],
        "decay": lambda g: g["weight_decay"],
        "lr_decay": lambda g: g["lr_decay"],
        "eps": lambda g: g["eps"],
    }

    def __init__(self, params: Tensors, groups: Sequence[dict[str, Any]]) -> None:
        super().__init__(params, groups)
        for state in self.state.values():
            for total, group in zip(state["sum"], groups, strict=True):
                total.fill_(group["initial_accumulator_value"])

    def factors(self, hyper: Tensors, steps: Tensor) -> Tensors:
        rate = hyper["lr"] / (1 + (steps - 1) * hyper["lr_decay"])
        return {"decay": hyper["decay"], "eps": hyper["eps"], "rate": rate}

    def rule(self, p: Tensor, g: Tensor, state: Tensors, n: Mapping[str, Number]) -> None:
        g = self.decayed(p, g, n)
        v = state["sum"].addcmul_(g, g)
        p.sub_(g / v.sqrt().add_(n["eps"]) * n["rate"])


class NAdam(Adaptive):
    """Adam with Nesterov's momentum (Dozat 2016). `torch.optim.NAdam`.

    w ← w - η ((1-μₜ) g / (1 - Π) + μₜ₊₁ m / (1 - Π μₜ₊₁)) / (√v̂ + ε), μₜ = β₁ (1 - ½ .96^(t ψ)), Π = μ₁ ⋯ μₜ.
    """

    buffers = ("exp_avg", "exp_avg_sq")
    read: ClassVar = {
        "lr": lambda g: g["lr"],
        "decay": lambda g: g["weight_decay"],
        "beta1": lambda g: g["betas"][0],
        "beta2": lambda g: g["betas"][1],
        "eps": lambda g: g["eps"],
        "momentum_decay": lambda g: g["momentum_decay"],
    }

    def __init__(self, params: Tensors, groups: Sequence[dict[str, Any]]) -> None:
        self.decoupled = groups[0]["decoupled_weight_decay"]
        self.hyper = {"product": torch.ones(len(groups))}  # Π, in float32 as torch keeps it
        super().__init__(params, groups)

    def set_groups(self, groups: Sequence[dict[str, Any]]) -> None:
        product = self.hyper["product"].to(self.place)
        super().set_groups(groups)
        self.hyper["product"] = product

    @torch.no_grad()
    def step(self, params: Tensors, grads: Tensors, rows: slice = slice(None)) -> None:
        hyper = {name: values[rows] for name, values in self.hyper.items()}
        hyper["product"].mul_(self._momentum(hyper, self.steps[rows] + 1).float())  # rounded as torch does
        super().step(params, grads, rows)

    def factors(self, hyper: Tensors, steps: Tensor) -> Tensors:
        now, next_ = (self._momentum(hyper, number) for number in (steps, steps + 1))
        product = hyper["product"].double()
        return {
            "decay": hyper["decay"],
            "shrink": 1 - hyper["lr"] * hyper["decay"],
            "1-beta1": 1 - hyper["beta1"],
            "beta2": hyper["beta2"],
            "1-beta2": 1 - hyper["beta2"],
            "correction": 1 - hyper["beta2"] ** steps,
            "eps": hyper["eps"],
            "of g": hyper["lr"] * (1 - now) / (1 - product),
            "of m": hyper["lr"] * next_ / (1 - product * next_),
        }

    def rule(self, p: Tensor, g: Tensor, state: Tensors, n: Mapping[str, Number]) -> None:
        if self.decoupled:
            p.mul_(n["shrink"])
        else:
            g = self.decayed(p, g, n)
        m = state["exp_avg"].lerp_(g, n["1-beta1"])
        v = state["exp_avg_sq"].mul_(n["beta2"]).add_(g * g * n["1-beta2"])
        p.sub_((g * n["of g"] + m * n["of m"]) / (v / n["correction"]).sqrt().add_(n["eps"]))

    def state_of(self, k: int, names: Sequence[str]) -> dict[int, dict[str, Tensor]]:
        state = super().state_of(k, names)
        for own in state.values():
            own["mu_product"] = self.hyper["product"][k].clone()
        return state

    def load(self, k: int, state: dict[int, dict[str, Tensor]], names: Sequence[str], steps: int) -> None:
        super().load(k, state, names, steps)
        for own in state.values():
            self.hyper["product"][k] = own["mu_product"]

    @staticmethod
    def _momentum(hyper: Tensors, number: Tensor) -> Tensor:
        return hyper["beta1"] * (1 - 0.5 * 0.96 ** (number * hyper["momentum_decay"]))
