"""Penalties: the ingredients of the loss ─► a scalar that is added to it; here those of each weight by itself.

Convention: a sum over weights, no ½, never divided by the batch size.
What is penalized elsewhere: `structured`, `matrices` (weights), `activities`, `outputs`, `inputs`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...core import hyperparameters
from ...core.exact import Exact, at_precision_of, wide
from ...core.weights import Select, Weight, grouped
from ..layers.dropout import PenalizedLayer


class Penalty(Exact):
    """A differentiable scalar added to the data loss: ``penalty(network, **ingredients)``.

    The ingredients are those of `Objective`, of which a penalty takes what it needs and leaves the rest:
      ``x``            the inputs of the training batch, (B, ...), after the batch transforms
      ``y``            their targets: classes (B,), probabilities (B, C), or real numbers (B,)
      ``logits``       the network's outputs, (B, C)
      ``loss``         the data loss, a mean over the batch
      ``activations``  what an `ActivityPenalty` has recorded during the network's pass, (B, ...) each
    """

    passes: ClassVar[int] = 1  # how often the batch goes through the network, in one call: (passes B, ...)
    of_inputs: ClassVar[bool] = False  # whether it differentiates by x
    on_weights: ClassVar[bool] = False  # whether it acts on weights of its choice, by `select` and `scale`
    select: Select = None
    scale: Mapping[str, float] | None = None
    forward: Callable[..., Tensor]  # (network, **ingredients): a subclass names those that it takes

    def begin(self, network: nn.Module) -> None:
        """What is to be done before training, when the network has its initial weights; nothing by default."""

    @contextmanager
    def recording(self, network: nn.Module) -> Iterator[list[Tensor]]:
        """The activations that it needs of what the network computes meanwhile; none by default."""
        yield []


class WeightPenalty(Penalty):
    """A penalty of the weights alone: ``penalty(network)`` is its value for any module.

    Of those that are not frozen when it is called. Under weight norm and other parametrizations it is of the weight
    that comes out, before weight layers such as DropConnect.

    Args:
        strength: λ >= 0.
        select: which parameters (see `regnet.core.weights.weights`); None is all weights, no biases.
        scale: factors on the strength by patterns of `select`, such as ``{"layer:-1": 0.1}``; 1 for all others.

    Raises:
        ValueError: when called on a network in which `select` matches nothing, or with lazy modules that have seen no
            batch.
    """

    on_weights = True

    def __init__(self, strength: float, select: Select = None, scale: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.select, self.scale = select, scale

    def forward(self, network: nn.Module, **_: Any) -> Tensor:
        terms = []
        for factor, found in grouped(network, self.select, self.scale):
            term = self.measure([weight._replace(tensor=wide(weight.effective.tensor)) for weight in found])
            terms.append(term if factor == 1 else factor * term)
        nothing = self.strength.new_zeros((), dtype=torch.float32)  # which it is while all are frozen
        total = terms[0] if len(terms) == 1 else sum(terms, nothing)
        return at_precision_of(total, self.strength) * total

    def measure(self, found: list[Weight]) -> Tensor:
        """The penalty of these weights at strength 1; their tensors are in float32 at least."""
        raise NotImplementedError


class LayerPenalty(Penalty):
    """Σ layer.penalty() over the layers of one class: what a `PenalizedLayer`, such as concrete dropout, asks for."""

    def __init__(self, kind: type[PenalizedLayer]) -> None:
        super().__init__()
        self.kind = kind

    def begin(self, network: nn.Module) -> None:
        """Raises ValueError where there is no such layer."""
        if not any(isinstance(module, self.kind) for module in network.modules()):
            raise ValueError(f"the network has no {self.kind.__name__} to ask for its penalty")

    def forward(self, network: nn.Module, **_: Any) -> Tensor:
        return total(module.penalty() for module in network.modules() if isinstance(module, self.kind))


class L1(WeightPenalty):
    """λ Σ|w| (Tibshirani 1996). The convention of Keras's `L1`."""

    def measure(self, found: list[Weight]) -> Tensor:
        return absolute_sum(found)


class L2(WeightPenalty):
    """λ Σ w² (Hoerl and Kennard 1970). The convention of Keras's `L2`.

    Under SGD it is ``weight_decay=2λ``; under Adam it is Adam's coupled ``weight_decay=2λ``, not AdamW's.
    """

    def measure(self, found: list[Weight]) -> Tensor:
        return square_sum(found)


class ElasticNet(WeightPenalty):
    """λ (α Σ|w| + (1 - α) Σ w²) (Zou and Hastie 2005).

    α = `l1_ratio` in [0, 1]. scikit-learn's `ElasticNet` has ½ before the second sum and divides the data
    loss, too, by 2: its (alpha, l1_ratio) is this λ and α up to those constants.
    """

    def __init__(
        self,
        strength: float,
        l1_ratio: float = 0.5,
        select: Select = None,
        scale: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(strength, select, scale)
        self.register_buffer("l1_ratio", hyperparameters.ratio(l1_ratio, "l1_ratio"))

    def measure(self, found: list[Weight]) -> Tensor:
        absolute, squares = absolute_sum(found), square_sum(found)
        ratio = at_precision_of(squares, self.l1_ratio)
        return ratio * absolute + (1 - ratio) * squares


def total(terms: Iterable[Tensor]) -> Tensor:
    """Σ of one term at least."""
    return sum(terms)  # type: ignore[return-value]  # which would be 0 of none


def absolute_sum(found: Sequence[Weight]) -> Tensor:
    return AbsoluteSum.apply(*(weight.tensor for weight in found))


def square_sum(found: Sequence[Weight]) -> Tensor:
    return SquareSum.apply(*(weight.tensor for weight in found))


class AbsoluteSum(torch.autograd.Function):
    """Σ|w| over all tensors, gradient sign(w): a multi-tensor pass each way (autograd's own takes 1.6x)."""

    @staticmethod
    def forward(*tensors: Tensor) -> Tensor:
        if tensors[0].device.type == "cpu":  # where the norm of order 1 takes 5x
            return torch.stack([w.abs().sum() for w in tensors]).sum()
        return torch.stack(torch._foreach_norm(tensors, 1)).sum()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        return total(_RowSums.apply(w) for w in _stacked(info.batch_size, in_dims, tensors)), 0

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        tensors = ctx.saved_tensors
        signs = [w.sgn() for w in tensors] if any(map(torch.is_complex, tensors)) else torch._foreach_sign(tensors)
        return _scaled(signs, grad)


class SquareSum(torch.autograd.Function):
    """Σ w² over all tensors, gradient 2w: a multi-tensor pass each way (autograd's own takes 2x)."""

    @staticmethod
    def forward(*tensors: Tensor) -> Tensor:
        return torch.stack(torch._foreach_norm(tensors, 2)).square().sum()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        return total(_RowSquares.apply(w) for w in _stacked(info.batch_size, in_dims, tensors)), 0

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return _scaled(ctx.saved_tensors, 2 * grad)


class _RowSums(torch.autograd.Function):
    """Σ|w| of each network of a stack, (K, ...) ─► (K,), in one pass each way."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return w.abs().flatten(1).sum(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (w,) = ctx.saved_tensors
        return w.sgn() * _beside(grad, w)


class _RowSquares(torch.autograd.Function):
    """Σ w² of each network of a stack, (K, ...) ─► (K,), in one pass each way."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return torch.linalg.vector_norm(w.flatten(1), 2, dim=1).square()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (w,) = ctx.saved_tensors
        return w * _beside(2 * grad, w)


def _beside(row: Tensor, w: Tensor) -> Tensor:
    """(K,) shaped to multiply (K, ...)."""
    return row.view(-1, *(1 for _ in w.shape[1:]))


def _stacked(size: int, in_dims: Sequence[int | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors (K, ...) of K networks, whatever axis they were stacked along, or shared by all of them."""
    return [
        w.expand(size, *w.shape) if dim is None else w.movedim(dim, 0) for w, dim in zip(tensors, in_dims, strict=True)
    ]


def _scaled(tensors: list[Tensor] | tuple[Tensor, ...], factor: Tensor) -> tuple[Tensor, ...]:
    if torch.is_grad_enabled():  # someone wants second derivatives, which _foreach_mul by a tensor lacks
        return tuple(w * factor for w in tensors)
    return torch._foreach_mul(tensors, factor)
