"""SGD, Adam and AdamW for K networks at once: torch.optim's update rules over stacked tensors.

Each network has hyper-parameters and a number of steps of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.adam import adam

from ..regularizers.updates.proximal import sgd_step_size

Tensors = dict[str, Tensor]
Number = float | Tensor  # the same for all networks, or (K,)


class Stacked:
    """State and hyper-parameters of K optimizers, (K, *shape) for each parameter and (K,) float64.

    Args:
        params: stacked parameters (K, *shape) by name.
        groups: the ``param_groups[0]`` of each network's own optimizer.
    """

    buffers: ClassVar[tuple[str, ...]]
    read: ClassVar[Mapping[str, Callable[[dict[str, Any]], float]]]

    def __init__(self, params: Tensors, groups: Sequence[dict[str, Any]]) -> None:
        self.device = next(iter(params.values())).device
        self.steps = torch.zeros(len(groups), dtype=torch.float64)
        self.set_groups(groups)
        self.nesterov = bool(groups[0].get("nesterov"))
        self.state: dict[str, Tensors] = {
            name: {key: torch.zeros_like(p) for key in self.buffers} for name, p in params.items()
        }

    @property
    def lr(self) -> Tensor:
        return self.hyper["lr"]

    def set_groups(self, groups: Sequence[dict[str, Any]]) -> None:
        """Takes the numbers of each network's own optimizer, which its schedule has changed."""
        self.hyper = {
            name: torch.tensor([value(group) for group in groups], dtype=torch.float64)
            for name, value in self.read.items()
        }

    @torch.no_grad()
    def step(self, params: Tensors, grads: Tensors, rows: slice = slice(None)) -> None:
        """Updates the networks of `rows` in place; `params` and `grads` are those of these rows."""
        self.steps[rows] += 1
        for name, state, n in self._each(params, rows):
            self.rule(params[name], grads[name], state, n)

    def step_sizes(self, params: Tensors, rows: slice = slice(None)) -> Tensors:
        """`regnet.regularizers.updates.proximal.step_sizes` of the step that the networks of `rows` have just made."""
        return {name: self.size(params[name], state, n) for name, state, n in self._each(params, rows)}

    def _each(self, params: Tensors, rows: slice) -> Iterator[tuple[str, Tensors, dict[str, Number]]]:
        """Of every parameter its name, state and numbers."""
        factors = self.factors({name: value[rows] for name, value in self.hyper.items()}, self.steps[rows])
        like = next(iter(params.values()))
        numbers = {name: _number(values, like) for name, values in factors.items()}
        for name, p in params.items():
            shape = (-1, *(1 for _ in p.shape[1:]))
            own = {key: n.view(shape) if isinstance(n, Tensor) else n for key, n in numbers.items()}
            yield name, {key: buffer[rows] for key, buffer in self.state[name].items()}, own

    def factors(self, hyper: Tensors, steps: Tensor) -> Tensors:
        """The numbers (K,) that the rule multiplies by, from the hyper-parameters and the number of this step."""
        raise NotImplementedError

    def rule(self, p: Tensor, g: Tensor, state: Tensors, n: Mapping[str, Number]) -> None:
        """Updates one stacked parameter in place; each number n is a float or (K, 1, ...)."""
        raise NotImplementedError

    def size(self, p: Tensor, state: Tensors, n: Mapping[str, Number]) -> Tensor:
        """The step size of each entry of a stacked parameter."""
        raise NotImplementedError

    def keep(self, index: Tensor) -> None:
        self.steps = self.steps[index]
        self.hyper = {name: value[index] for name, value in self.hyper.items()}
        place = index.to(self.device)
        self.state = {name: {k: b[place] for k, b in state.items()} for name, state in self.state.items()}

    def state_of(self, k: int, names: Sequence[str]) -> dict[int, dict[str, Tensor]]:
        """The state of network k as torch.optim has it, parameters numbered by their place in `names`."""
        if not self.steps[k] or not self.buffers:
            return {}
        state = {
            i: {key: buffer[k].clone() for key, buffer in self.state[name].items()}
            for i, name in enumerate(names)
            if name in self.state
        }
        if "exp_avg" in self.buffers:
            for own in state.values():
                own["step"] = self.steps[k].float()  # a tensor for each parameter: Adam counts in all of them
        return state

    def load(self, k: int, state: dict[int, dict[str, Tensor]], names: Sequence[str], steps: int) -> None:
        """The inverse of `state_of`, for a network that has made so many steps."""
        self.steps[k] = steps
        for i, name in enumerate(names):
            for key, buffer in self.state.get(name, {}).items():
                buffer[k] = state[i][key].to(self.device)


class SGD(Stacked):
    """g ← g + λ w; v ← μ v + g; w ← w - η v, or under Nesterov w - η (g + μ v). `torch.optim.SGD`."""

    buffers = ("momentum_buffer",)
    read: ClassVar = {
        "lr": lambda g: g["lr"],
        "decay": lambda g: g["weight_decay"],
        "momentum": lambda g: g["momentum"],
    }

    def factors(self, hyper: Tensors, steps: Tensor) -> Tensors:
        return hyper

    def rule(self, p: Tensor, g: Tensor, state: Tensors, n: Mapping[str, Number]) -> None:
        if _some(n["decay"]):
            g = g + p * n["decay"]
        if _some(n["momentum"]):
            v = state["momentum_buffer"].mul_(n["momentum"]).add_(g)
            g = g + v * n["momentum"] if self.nesterov else v
        p.sub_(g * n["lr"])

    def size(self, p: Tensor, state: Tensors, n: Mapping[str, Number]) -> Tensor:
        return torch.ones_like(p) * sgd_step_size(n["lr"], n["momentum"])


class Adam(Stacked):
    """m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; w ← w - η m̂ / (√v̂ + ε), with λ w in g. `torch.optim.Adam`.

    Written with the corrections m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ) in two numbers of each network (Kingma and Ba
    2015, section 2): w ← w - α m / (√v + ε√(1-β₂ᵗ)), α = η √(1-β₂ᵗ) / (1-β₁ᵗ).
    """

    buffers = ("exp_avg", "exp_avg_sq")
    decoupled: ClassVar[bool] = False
    read: ClassVar = {
        "lr": lambda g: g["lr"],
        "decay": lambda g: g["weight_decay"],
        "beta1": lambda g: g["betas"][0],
        "beta2": lambda g: g["betas"][1],
        "eps": lambda g: g["eps"],
    }

    def factors(self, hyper: Tensors, steps: Tensor) -> Tensors:
        root = (1 - hyper["beta2"] ** steps).sqrt()
        return {
            "decay": hyper["decay"],
            "shrink": 1 - hyper["lr"] * hyper["decay"],
            "1-beta1": 1 - hyper["beta1"],
            "beta2": hyper["beta2"],
            "1-beta2": 1 - hyper["beta2"],
            "eps": hyper["eps"] * root,
            "step": hyper["lr"] * root,
            "alpha": hyper["lr"] * root / (1 - hyper["beta1"] ** steps),
        }

    @torch.no_grad()
    def step(self, params: Tensors, grads: Tensors, rows: slice = slice(None)) -> None:
        if any(len(set(values[rows].tolist())) > 1 for values in (*self.hyper.values(), self.steps)):
            super().step(params, grads, rows)
            return
        # all have made as many steps: torch's own kernel takes them for one network, in a third of the time
        states = [self.state[name] for name in params]
        hyper = {name: values[rows][0].item() for name, values in self.hyper.items()}
        adam(
            list(params.values()),
            [grads[name] for name in params],
            [state["exp_avg"][rows] for state in states],
            [state["exp_avg_sq"][rows] for state in states],
            max_exp_avg_sqs=[],
            state_steps=[self.steps[rows][0].to(self.device, torch.float32) for _ in states],
            fused=True,
            decoupled_weight_decay=self.decoupled,
            amsgrad=False,
            maximize=False,
            weight_decay=hyper["decay"],
            lr=hyper["lr"],
            beta1=hyper["beta1"],
            beta2=hyper["beta2"],
            eps=hyper["eps"],
        )
        self.steps[rows] += 1

    def decayed(self, p: Tensor, g: Tensor, n: Mapping[str, Number]) -> Tensor:
        return g + p * n["decay"]

    def rule(self, p: Tensor, g: Tensor, state: Tensors, n: Mapping[str, Number]) -> None:
        if _some(n["decay"]):
            g = self.decayed(p, g, n)
        m, v, rest, alpha = state["exp_avg"], state["exp_avg_sq"], n["1-beta2"], n["alpha"]
        m.lerp_(g, n["1-beta1"])
        v.mul_(n["beta2"])
        v.add_(g * g * rest) if isinstance(rest, Tensor) else v.addcmul_(g, g, value=rest)
        divisor = v.sqrt().add_(n["eps"])
        if isinstance(alpha, Tensor):
            p.sub_(torch.div(m, divisor, out=divisor).mul_(alpha))
        else:
            p.addcdiv_(m, divisor, value=-alpha)

    def size(self, p: Tensor, state: Tensors, n: Mapping[str, Number]) -> Tensor:
        # as `proximal.adam_step_size`, which divides all of v by a number: here two numbers take it up
        return n["step"] / (state["exp_avg_sq"].sqrt() + n["eps"])


class AdamW(Adam):
    """Adam with w ← (1 - η λ) w before the update, instead of λ w in g. `torch.optim.AdamW`."""

    decoupled = True

    def decayed(self, p: Tensor, g: Tensor, n: Mapping[str, Number]) -> Tensor:
        p.mul_(n["shrink"])
        return g


def _number(values: Tensor, like: Tensor) -> Number:
    """(K,) as a Python number where all are equal, else as `like` takes it."""
    numbers = values.tolist()
    return numbers[0] if len(set(numbers)) == 1 else values.to(like.device, like.dtype)


def _some(number: Number) -> bool:
    return isinstance(number, Tensor) or number != 0
