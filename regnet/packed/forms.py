"""What a stack computes in another way than vmap would: where that was measured to be faster.

On a CPU, per step of 8 MLPs 64-128-10 of 128 samples, one thread: the gradient of the last layer's weights takes
45 µs and not 206, as gᵀh and not (hᵀg)ᵀ; log-softmax 14 µs and not 153, along an axis that is not the last one, of
10 entries. A wide product of inputs that all networks share takes as long as one product for each network, and a
convolution in groups, as vmap has it, as long as one for each: those are left as they are.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

USUAL = {  # what F.cross_entropy passes on where it is called with logits and targets alone
    "weight": None,
    "size_average": None,
    "ignore_index": -100,
    "reduce": None,
    "reduction": "mean",
    "label_smoothing": 0.0,
}


class Forms(TorchFunctionMode):
    """Under vmap over networks, linear layers, cross-entropy and log-softmax take their stacked forms.

    `torch.autograd.grad`, which vmap cannot take, differentiates the stacked outputs by the stacked inputs, each
    network by its own. Those which ask for it by ``requires_grad_`` must be differentiable outside of vmap.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and args[0].ndim == 2:
            return _Linear.apply(*args, *kwargs.values())
        if func is F.cross_entropy and args[0].ndim == 2 and kwargs.items() <= USUAL.items():
            return _cross_entropy(*args)
        if func is Tensor.log_softmax and args[0].ndim == 2 and args[1:] == (1,) and not kwargs:
            return _log_softmax(args[0]).t()
        if func is torch.autograd.grad:
            return _grad(*args, **kwargs)
        if func is Tensor.requires_grad_:
            return args[0]
        return func(*args, **kwargs)


def _grad(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], grad_outputs: Any, create_graph: bool, **_: Any
) -> tuple[Tensor, ...]:
    """`torch.autograd.grad` of one output, as it passes its arguments on."""
    (output,) = outputs
    (direction,) = grad_outputs if isinstance(grad_outputs, tuple | list) else (grad_outputs,)
    return _Gradient.apply(create_graph, output, torch.ones_like(output) if direction is None else direction, *inputs)


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(create_graph: bool, output: Tensor, direction: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(output, inputs, direction, create_graph=create_graph)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing: under vmap, what is differentiated again is the graph that was created."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], create_graph: bool, output: Tensor, direction: Tensor, *x: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        with torch.enable_grad():  # else what is moved has no graph
            stacked, given = (
                tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
                for tensor, dim in ((output, in_dims[1]), (direction, in_dims[2]))
            )
        return torch.autograd.grad(stacked, x, given, create_graph=create_graph), in_dims[3:]


def _log_softmax(logits: Tensor) -> Tensor:  # (B, C) ─► (C, B)
    return logits.t().clone(memory_format=torch.contiguous_format).log_softmax(0)


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:  # (B, C), (B,) or (B, C)
    log_p = _log_softmax(logits)  # (C, B)
    if y.is_floating_point():
        return -(log_p * y.t()).sum(0).mean()
    return -log_p.gather(0, y[None]).mean()


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:  # (B, in), (out, in), (out,)
        return F.linear(x, w, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor | None) -> tuple[Tensor, int]:
        stacked = [
            None
            if tensor is None
            else tensor.expand(info.batch_size, *tensor.shape)
            if dim is None
            else tensor.movedim(dim, 0)
            for tensor, dim in zip(inputs, in_dims, strict=True)
        ]
        return _StackedLinear.apply(*stacked), 0

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w, b = ctx.saved_tensors
        return g @ w, g.t() @ x, None if b is None else g.sum(0)


class _StackedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, b: Tensor | None = None
    ) -> Tensor:  # (K, B, in), (K, out, in), (K, out)
        ctx.save_for_backward(x, w)
        ctx.biased = b is not None
        return torch.bmm(x, w.mT) if b is None else torch.baddbmm(b[:, None], x, w.mT)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        dx = torch.bmm(g, w) if ctx.needs_input_grad[0] else None
        return dx, torch.bmm(g.mT, x), g.sum(1) if ctx.biased else None
