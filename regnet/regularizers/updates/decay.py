"""Updates: what is done around the optimizer's step, under any training loop."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ...core import hyperparameters
from ...core.exact import Exact, at_precision_of
from ...core.weights import Select, Weight, grouped, weights

HALF = (torch.bfloat16, torch.float16)


class Update(Exact):
    """Something that acts on weights or gradients at each optimizer step, once attached to the optimizer.

    Several act in the order in which they are attached, which is to be that of their `stage`: first what makes
    the gradient, then what adds noise to it and clips it, then decay; behind the optimizer's own update averages
    of the weights, then constraints, which so hold after every step.
    """

    GRADIENT: ClassVar[int] = 0
    NOISE: ClassVar[int] = 1
    CLIPPING: ClassVar[int] = 2
    DECAY: ClassVar[int] = 3
    AVERAGE: ClassVar[int] = 4
    CONSTRAINT: ClassVar[int] = 5
    stage: ClassVar[int] = CONSTRAINT
    fine: ClassVar[bool] = False  # whether it moves weights by less than half precision can tell apart
    dense: ClassVar[bool] = False  # whether it needs all entries of a gradient, also where a sparse one leaves them out
    counts: ClassVar[bool] = False  # whether it counts the optimizer's steps
    on_weights: ClassVar[bool] = False  # whether it acts on weights of its choice, by `select` and `scale`
    select: Select = None
    scale: Mapping[str, float] | None = None

    def begin(self, network: nn.Module) -> None:
        """What is to be done before training, when the network has its initial weights; nothing by default."""

    def check(self, network: nn.Module) -> None:
        """Raises ValueError where it cannot act on `network`: half precision would round its steps away, or sparse
        gradients lack what it needs.
        """
        if self.fine and any(w.dtype in HALF for w in network.parameters()):
            raise ValueError(
                f"{type(self).__name__} moves weights by less than half precision can hold: keep them in float32"
            )

        for name, module in network.named_modules() if self.dense else ():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
                raise ValueError(f"{type(self).__name__} needs dense gradients: make {name or 'it'} with sparse=False")

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        raise NotImplementedError


class BeforeStep(Update):
    """``update(network, optimizer)`` when the gradients are there, before the optimizer's own update.

    Some optimizers, such as LBFGS, evaluate several gradients in one step: it acts on each.
    """

    once: ClassVar[bool] = False  # whether it acts on the first of them alone

    def forward(self, network: nn.Module, optimizer: Optimizer) -> None:
        raise NotImplementedError

    def attach(self, optimizer: Optimizer, network: nn.Module) -> RemovableHandle:
        def before_step(
            _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            closure = args[1] if len(args) > 1 else kwargs.get("closure")  # args[0] is the optimizer
            if closure is None:
                self(network, optimizer)
                return None

            # Lightning computes the gradient inside the step: it must be there, and of the weights as they were
            acted = False

            def act_after() -> Any:
                nonlocal acted
                output = closure()
                if not (self.once and acted):
                    self(network, optimizer)
                acted = True
                return output

            return args[:1], {**kwargs, "closure": act_after}

        self.check(network)
        return optimizer.register_step_pre_hook(before_step)


class GradientUpdate(BeforeStep):
    """Something that changes the gradients of the network's parameters before the optimizer uses them."""

    dense = True

    def change(self, network: nn.Module, gradients: Mapping[str, Tensor]) -> None:
        """Changes gradients in place; those that are there, by the names of their parameters in `network`."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, network: nn.Module, optimizer: Optimizer) -> None:
        names = {id(w): name for name, w in network.named_parameters()}
        self.change(network, {names[id(w)]: gradient for w, gradient in moving(optimizer) if id(w) in names})


def moving(optimizer: Optimizer) -> list[tuple[Tensor, Tensor]]:
    """The parameters of `optimizer` that have a gradient and are not frozen, with their gradients."""
    every = [w for group in optimizer.param_groups for w in group["params"]]
    return [(w, w.grad) for w in every if w.grad is not None and w.requires_grad]


class Decay(BeforeStep):
    """Something that shrinks weights at each step: those of the optimizer that have a gradient, as AdamW does.

    Args:
        strength: λ >= 0.
        select: which parameters (see `regnet.core.weights.weights`); None is all weights, no biases.
        scale: factors on the strength by patterns of `select`.
    """

    stage = Update.DECAY
    on_weights = True

    def __init__(self, strength: float, select: Select = None, scale: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.select, self.scale = select, scale

    def moving(self, network: nn.Module, optimizer: Optimizer) -> Iterator[tuple[float, dict[str, Any], list[Weight]]]:
        """The weights that `optimizer` is about to move, by their factor and their parameter group."""
        for factor, found in grouped(network, self.select, self.scale):
            moved = {id(weight.tensor): weight for weight in found if weight.has_gradient}
            for group in optimizer.param_groups:
                if own := [moved[id(w)] for w in group["params"] if id(w) in moved]:
                    yield factor, group, own


class WeightDecay(Decay):
    """w ← (1 - η λ) w before the optimizer's own update, η its learning rate (Loshchilov and Hutter 2019).

    Decoupled from the gradient, for any optimizer: Adam with it is AdamW with ``weight_decay=λ`` on weights
    and 0 on biases. Note that η λ is what shrinks: the convention of `torch.optim.AdamW`. Under weight norm it is g
    that shrinks. Of weights in half precision it is refused: bfloat16 rounds (1 - η λ) w back to w where η λ < 1/512,
    as AdamW's own decay. It shrinks once a step, also where LBFGS evaluates several gradients in it.

    Raises:
        ValueError: when attached to a network whose weights are in half precision, or computed by parametrizations
            other than weight norm.
    """

    fine: ClassVar[bool] = True
    once = True

    def check(self, network: nn.Module) -> None:
        super().check(network)
        for weight in weights(network, self.select, frozen=True):
            weight.check_writable()

    @torch.no_grad()
    def forward(self, network: nn.Module, optimizer: Optimizer) -> None:
        for factor, group, found in self.moving(network, optimizer):
            self.shrink(found, factor * group["lr"])

    def shrink(self, found: Sequence[Weight], lr: float | Tensor) -> None:
        factor = 1 - lr * at_precision_of(found[0].tensor, self.strength)
        for weight in found:
            itself = weight.effective
            itself.tensor.mul_(factor)
            weight.write(itself.tensor)


class CoupledDecay(Decay, GradientUpdate):
    """g ← g + λ w before the optimizer's own update, which so sees the gradient of λ/2 Σw².

    The `weight_decay` of `torch.optim.SGD` and `torch.optim.Adam`, for any optimizer and of weights only. With
    SGD it is decoupled decay of the same λ; Adam divides it by the gradient's size (Loshchilov and Hutter 2019,
    section 2). The penalty `L2` of strength λ/2 has the same gradient, but is clipped with the loss's.
    """

    def change(self, network: nn.Module, gradients: Mapping[str, Tensor]) -> None:
        of = {id(w): gradients[name] for name, w in network.named_parameters() if name in gradients}
        for factor, found in grouped(network, self.select, self.scale):
            for weight in found:
                if not any(id(part) in of for part in weight.parts):
                    continue
                strength = factor * at_precision_of(weight.tensor, self.strength)
                for part, slope in weight.chain(strength * weight.effective.tensor):
                    if id(part) in of:
                        of[id(part)].add_(slope)
