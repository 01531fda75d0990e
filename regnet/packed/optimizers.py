"""SGD, Adam and AdamW for K networks at once: torch.optim's update rules over stacked tensors.

Each network has hyper-parameters and a number of steps of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.adam import adam

from ..core.devices import sent
from ..regularizers.updates.proximal import sgd_step_size

Tensors = dict[str, Tensor]
Number = float | Tensor  # the same for all networks, or (K,)


class Stacked:
    """State and hyper-parameters of K optimizers, (K, *shape) for each parameter and (K,) float64.

    What is decided by a number is decided by `numbers` and `counts`, which the host has. What is computed from one is
    computed where the parameters are: a step on a GPU neither waits for a number nor sends one.

    Args:
        params: stacked parameters (K, *shape) by name.
        groups: the ``param_groups[0]`` of each network's own optimizer.
    """

    buffers: ClassVar[tuple[str, ...]]
    read: ClassVar[Mapping[str, Callable[[dict[str, Any]], float]]]

    def __init__(self, params: Tensors, groups: Sequence[dict[str, Any]]) -> None:
        self.device = next(iter(params.values())).device
        # of the numbers: Apple's GPUs have no float64
        self.place = torch.device("cpu") if self.device.type in ("cpu", "mps") else self.device
        self.counts = torch.zeros(len(groups), dtype=torch.int64)  # of steps, on the host
        self.steps = torch.zeros(len(groups), dtype=torch.float64, device=self.place)  # the same
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
        self.numbers = {name: [float(value(group)) for group in groups] for name, value in self.read.items()}
        values = sent(torch.tensor(list(self.numbers.values()), dtype=torch.float64), self.place)
        self.hyper = dict(zip(self.numbers, values, strict=True))

    @torch.no_grad()
    def step(self, params: Tensors, grads: Tensors, rows: slice = slice(None)) -> None:
        """Updates the networks of `rows` in place; `params` and `grads` are those of these rows."""
        self._count(rows)
        for name, state, n in self._each(params, rows):
            self.rule(params[name], grads[name], state, n)

    def step_sizes(self, params: Tensors, rows: slice = slice(None)) -> Tensors:
        """`regnet.regularizers.updates.proximal.step_sizes` of the step that the networks of `rows` have just made."""
        return {name: self.size(params[name], state, n) for name, state, n in self._each(params, rows)}

    def _each(self, params: Tensors, rows: slice) -> Iterator[tuple[str, Tensors, dict[str, Number]]]:
        """Of every parameter its name, state and numbers."""
        factors = self.factors({name: value[rows] for name, value in self.hyper.items()}, self.steps[rows])
        like = next(iter(params.values()))
        numbers = {name: self._number(name, values, rows, like) for name, values in factors.items()}
        for name, p in params.items():
            shape = (-1, *(1 for _ in p.shape[1:]))
            own = {key: n.view(shape) if isinstance(n, Tensor) else n for key, n in numbers.items()}
            yield name, {key: buffer[rows] for key, buffer in self.state[name].items()}, own

    def _number(self, name: str, values: Tensor, rows: slice, like: Tensor) -> Number:
        """(K,) as a Python number where all are known to be equal, else as `like` takes it."""
        if values.device.type != "cpu":
            known = self.numbers.get(name)
            return values.to(like.dtype) if known is None or any(known[rows]) else 0.0
        numbers = values.tolist()
        return numbers[0] if len(set(numbers)) == 1 else values.to(like.device, like.dtype)

    def _count(self, rows: slice) -> None:
        self.counts[rows] += 1
        self.steps[rows] += 1

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
        self.counts = self.counts[index]
        self.numbers = {name: [values[k] for k in index.tolist()] for name, values in self.numbers.items()}
        place = index.to(self.place)
        self.steps = self.steps[place]
        self.hyper = {name: value[place] for name, value in self.hyper.items()}
        place = index.to(self.device)
        self.state = {name: {k: b[place] for k, b in state.items()} for name, state in self.state.items()}

    def state_of(self, k: int, names: Sequence[str]) -> dict[int, dict[str, Tensor]]:
        """The state of network k as torch.optim has it, parameters numbered by their place in `names`."""
        if not self.counts[k] or not self.buffers:
            return {}
        state = {
            i: {key: buffer[k].clone() for key, buffer in self.state[name].items()}
            for i, name in enumerate(names)
            if name in self.state
        }
        if "exp_avg" in self.buffers:
            for own in state.values():
                own["step"] = self.counts[k].float()  # a tensor for each parameter: Adam counts in all of them
        return state

    def load(self, k: int, state: dict[int, dict[str, Tensor]], names: Sequence[str], steps: int) -> None:
        """The inverse of `state_of`, for a network that has made so many steps."""
        self.counts[k] = steps
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
        if any(len(set(values[rows])) > 1 for values in (*self.numbers.values(), self.counts.tolist())):
            super().step(params, grads, rows)
            return
        # all have made as many steps: torch's own kernel takes them for one network, in a third of the time
        states = [self.state[name] for name in params]
        hyper = {name: values[rows][0] for name, values in self.numbers.items()}
        made = self.steps[rows][0].to(self.device, torch.float32).repeat(len(states))  # the kernel counts in each
        adam(
            list(params.values()),
            [grads[name] for name in params],
            [state["exp_avg"][rows] for state in states],
            [state["exp_avg_sq"][rows] for state in states],
            max_exp_avg_sqs=[],
            state_steps=list(made.unbind()),
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
        self._count(rows)

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


def _some(number: Number) -> bool:
    return isinstance(number, Tensor) or number != 0
