"""SGD, Adam and AdamW for K networks at once: torch.optim's update rules over stacked tensors.

Each network has hyper-parameters and a number of steps of its own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Tensors = dict[str, Tensor]


class Stacked:
    """State and hyper-parameters of K optimizers, (K, *shape) for each parameter and (K,) float64.

    Args:
        params: stacked parameters (K, *shape) by name.
        groups: the ``param_groups[0]`` of each network's own optimizer.
    """

    buffers: tuple[str, ...] = ()

    def __init__(self, params: Tensors, groups: Sequence[dict[str, Any]]) -> None:
        self.device = next(iter(params.values())).device
        self.steps = torch.zeros(len(groups), dtype=torch.float64)
        self.hyper = {
            name: torch.tensor([value(group) for group in groups], dtype=torch.float64)
            for name, value in self.read.items()
        }
        self.nesterov = bool(groups[0].get("nesterov"))
        self.state: dict[str, Tensors] = {
            name: {key: torch.zeros_like(p) for key in self.buffers} for name, p in params.items()
        }

    read: dict[str, Any] = {}

    @property
    def lr(self) -> Tensor:
        return self.hyper["lr"]

    def set_lr(self, values: Sequence[float]) -> None:
        self.hyper["lr"] = torch.tensor(list(values), dtype=torch.float64)

    def step(self, params: Tensors, grads: Tensors, rows: slice = slice(None)) -> None:
        """Updates the networks of `rows` in place; `params` and `grads` are those of these rows."""
        self.steps[rows] += 1
        hyper = {name: value[rows] for name, value in self.hyper.items()}
        for name, p in params.items():
            state = {key: buffer[rows] for key, buffer in self.state[name].items()}
            self.rule(p, grads[name], state, hyper, self.steps[rows])

    def rule(self, p: Tensor, g: Tensor, state: Tensors, hyper: Tensors, steps: Tensor) -> None:
        raise NotImplementedError

    def keep(self, index: Tensor) -> None:
        self.steps = self.steps[index]
        self.hyper = {name: value[index] for name, value in self.hyper.items()}
        place = index.to(self.device)
        self.state = {name: {k: b[place] for k, b in state.items()} for name, state in self.state.items()}

    def state_of(self, k: int, names: Sequence[str]) -> dict[int, dict[str, Tensor]]:
        """The state of network k as torch.optim has it, parameters numbered in the order of `names`."""
        if not self.steps[k] or not self.buffers:
            return {}
        step = {"step": self.steps[k].float().clone()} if "exp_avg" in self.buffers else {}
        return {
            i: step | {key: buffer[k].clone() for key, buffer in self.state[name].items()}
            for i, name in enumerate(names)
        }

    def load(self, k: int, state: dict[int, dict[str, Tensor]], names: Sequence[str], steps: int) -> None:
        """The inverse of `state_of`, for a network that has made so many steps."""
        self.steps[k] = steps
        for i, name in enumerate(names):
            for key, buffer in self.state[name].items():
                buffer[k] = state[i][key].to(self.device)


class SGD(Stacked):
    """g ← g + λ w; v ← μ v + g; w ← w - η v, or under Nesterov w - η (g + μ v). `torch.optim.SGD`."""

    buffers = ("momentum_buffer",)
    read = {"lr": lambda g: g["lr"], "decay": lambda g: g["weight_decay"], "momentum": lambda g: g["momentum"]}

    def rule(self, p: Tensor, g: Tensor, state: Tensors, hyper: Tensors, steps: Tensor) -> None:
        if hyper["decay"].any():
            g = g + p * _number(hyper["decay"], p)
        if hyper["momentum"].any():
            momentum = _number(hyper["momentum"], p)
            v = state["momentum_buffer"].mul_(momentum).add_(g)
            g = g + v * momentum if self.nesterov else v
        p.sub_(g * _number(hyper["lr"], p))


class Adam(Stacked):
    """m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; w ← w - η m̂ / (√v̂ + ε), with λ w in g. `torch.optim.Adam`.

    Written with the corrections m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ) in two numbers of each network (Kingma and Ba
    2015, section 2): w ← w - α m / (√v + ε√(1-β₂ᵗ)), α = η √(1-β₂ᵗ) / (1-β₁ᵗ).
    """

    buffers = ("exp_avg", "exp_avg_sq")
    read = {
        "lr": lambda g: g["lr"],
        "decay": lambda g: g["weight_decay"],
        "beta1": lambda g: g["betas"][0],
        "beta2": lambda g: g["betas"][1],
        "eps": lambda g: g["eps"],
    }

    def decay(self, p: Tensor, g: Tensor, hyper: Tensors) -> Tensor:
        return g + p * _number(hyper["decay"], p)

    def rule(self, p: Tensor, g: Tensor, state: Tensors, hyper: Tensors, steps: Tensor) -> None:
        if hyper["decay"].any():
            g = self.decay(p, g, hyper)
        m, v = state["exp_avg"], state["exp_avg_sq"]
        beta1, beta2 = hyper["beta1"], hyper["beta2"]
        root = (1 - beta2**steps).sqrt()
        m.lerp_(g, _number(1 - beta1, p))
        rest = _number(1 - beta2, p)
        v.mul_(_number(beta2, p))
        v.addcmul_(g, g, value=rest) if isinstance(rest, float) else v.add_(g * g * rest)
        update = v.sqrt().add_(_number(hyper["eps"] * root, p))
        torch.div(m, update, out=update)
        size = _number(hyper["lr"] * root / (1 - beta1**steps), p)
        p.sub_(update, alpha=size) if isinstance(size, float) else p.sub_(update.mul_(size))


class AdamW(Adam):
    """Adam with w ← (1 - η λ) w before the update, instead of λ w in g. `torch.optim.AdamW`."""

    def decay(self, p: Tensor, g: Tensor, hyper: Tensors) -> Tensor:
        p.mul_(_number(1 - hyper["lr"] * hyper["decay"], p))
        return g


KINDS = {torch.optim.SGD: SGD, torch.optim.Adam: Adam, torch.optim.AdamW: AdamW}


def stack(optimizers: Sequence[Optimizer], params: Tensors) -> Stacked:
    """The stacked form of K optimizers of one kind. Raises ValueError for a kind or option that has none."""
    first = optimizers[0]
    if type(first) not in KINDS:
        raise ValueError(f"{type(first).__name__} has no stacked form; {', '.join(k.__name__ for k in KINDS)} have")
    for optimizer in optimizers:
        if len(optimizer.param_groups) > 1:
            raise ValueError("several parameter groups have no stacked form")
        for option in ("amsgrad", "maximize", "dampening"):
            if optimizer.param_groups[0].get(option):
                raise ValueError(f"{option} has no stacked form")
    return KINDS[type(first)](params, [optimizer.param_groups[0] for optimizer in optimizers])


def _number(values: Tensor, like: Tensor) -> Tensor | float:
    """(K,) as a Python number where all are equal, else shaped to multiply (K, *shape)."""
    numbers = values.tolist()
    if all(number == numbers[0] for number in numbers):
        return numbers[0]
    return values.to(like.device, like.dtype).view(-1, *(1 for _ in like.shape[1:]))
