"""The gradients of an objective, for the same batch bitwise those of a backward pass, from recorded steps."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..core.exact import settings
from .objective import Objective
from .trace import Traced, takes_no_decisions

PATIENCE = 30  # steps before one is recorded, which takes as long as some thirty


class Gradients:
    """The terms of an objective on a batch; their sum's gradients become those of the parameters.

    A step is `Traced` where all modules are regnet's or torch's and nobody has put a hook on them; else it is computed
    as ever. Another recording is made when a module gets another setting, is put into another mode, or frozen.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.recordings: dict[Hashable, _Recording] = {}
        self.present: _Recording | None = None

    def look(self) -> None:
        """Takes the objective as it is now. To be called wherever somebody may have changed it."""
        self.present = None
        if takes_no_decisions([self.objective]) and not any(map(_is_watched, self.objective.parameters())):
            key = tuple(_looks(self.objective))
            if key not in self.recordings:
                self.recordings[key] = _Recording(self.objective)
            self.present = self.recordings[key]
            self.present.begin()

    def __call__(self, x: Tensor, y: Tensor, forward: Callable[[], AbstractContextManager[Any]]) -> Tensor:
        """(terms,); `forward` is around the pass through the network, such as automatic mixed precision."""
        if self.present:
            return self.present(x, y, forward)
        with forward():
            values = torch.stack(list(self.objective(x, y).values()))
        self.objective.zero_grad()
        values.sum().backward()
        return values.detach()


class _Recording:
    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.begin()
        self.traced = Traced(self._compute, len(self.trained) + len(self.rest), len(self.settings))
        self.traced.patience = PATIENCE

    def begin(self) -> None:
        parameters = dict(self.objective.named_parameters())
        self.parameters = list(parameters.values())
        buffers = dict(self.objective.named_buffers())
        self.settings = settings(self.objective)
        self.trained = {name: p for name, p in parameters.items() if p.requires_grad}
        self.frozen = {name: p for name, p in parameters.items() if not p.requires_grad}
        self.rest = self.frozen | {name: b for name, b in buffers.items() if name not in self.settings}
        self.names = [*self.trained, *self.rest, *self.settings]
        self.tensors = [*self.trained.values(), *self.rest.values(), *self.settings.values()]

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor, forward: Callable[[], AbstractContextManager[Any]]) -> Tensor:
        for parameter in self.parameters:
            parameter.grad = None  # its memory is then free for the next
        self.forward = forward
        values, *grads = self.traced(*self.tensors, x, y)
        for parameter, grad in zip(self.trained.values(), grads, strict=True):
            parameter.grad = grad
        return values

    def _compute(self, *tensors: Tensor) -> tuple[Tensor | None, ...]:
        *state, x, y = tensors
        named = dict(zip(self.names, state, strict=True))
        with torch.enable_grad():
            trained = {name: named[name].detach().requires_grad_() for name in self.trained}
            frozen = {name: nn.Parameter(named[name], False) for name in self.frozen}  # as penalties know it
            with self.forward():
                terms = functional_call(self.objective, named | trained | frozen, (x, y))
                values = torch.stack(list(terms.values()))
            grads = torch.autograd.grad(values.sum(), list(trained.values()), allow_unused=True)
        return values.detach(), *map(_laid_out, grads, trained.values())


def _laid_out(grad: Tensor | None, parameter: Tensor) -> Tensor | None:
    """As a backward pass leaves it, in the parameter's own layout."""
    if grad is None or grad.stride() == parameter.stride():
        return grad
    return torch.empty_like(parameter).copy_(grad)


def _looks(objective: nn.Module) -> Iterator[Hashable]:
    """What decides on a computation beside its tensors."""
    for module in objective.modules():
        yield id(module)
        for name, value in vars(module).items():
            if value is None or isinstance(value, bool | int | float | str | tuple):
                yield name, value if _is_hashable(value) else id(value)
    for parameter in objective.parameters():
        yield parameter.requires_grad, parameter.dtype


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_watched(parameter: Tensor) -> bool:
    """Whether somebody's hook waits for its gradient."""
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))
