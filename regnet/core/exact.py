"""Numbers that training precision must not round."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn


def wide(x: Tensor) -> Tensor:
    """In float32 at least: half precision is too narrow for sums, averages and small steps."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def at_precision_of(x: Tensor, number: Tensor) -> Tensor:
    """A hyper-parameter, 0-d and float64, as it acts on `x`: in its precision, but in float32 at least.

    Else the product of two 0-d tensors, such as strength and penalty, would be float64 in any training.
    """
    real = x.real if x.is_complex() else x
    return number.to(torch.promote_types(real.dtype, torch.float32))


def in_precision(x: Tensor, dtype: torch.dtype) -> Tensor:
    """What a network of this precision takes: whole numbers, such as tokens, stay what they are."""
    return x.to(dtype) if x.is_floating_point() else x


class Exact(nn.Module):
    """A module whose own buffers follow to any device, and stay in the precision they were made in.

    Training in half precision would round them: a rate of 0.999 becomes 1 in bfloat16, a mean of 2001
    becomes 2000. Apple's GPUs have no float64: there they are float32.
    """

    unpackable: ClassVar[str | None] = None  # why runs that have one cannot be trained as one

    if TYPE_CHECKING:  # what mypy sees no assignment of is a buffer; torch would say `Tensor | Module`

        def __getattr__(self, name: str) -> Tensor: ...

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        own = dict(self._buffers)
        self._buffers.update(dict.fromkeys(own))  # which torch then leaves alone
        try:
            super()._apply(fn, recurse)
        finally:
            self._buffers.update(own)
        self._buffers.update({name: self.moved(buffer, fn) for name, buffer in own.items() if buffer is not None})
        return self

    def moved(self, buffer: Tensor, fn: Callable[[Tensor], Tensor]) -> Tensor:
        """A buffer where `fn` puts tensors."""
        device = fn(torch.empty(0, device=buffer.device)).device
        return (buffer.float() if device.type == "mps" and buffer.dtype == torch.float64 else buffer).to(device)


class Wide(Exact):
    """A module whose own buffers follow to any device and precision, but to none below float32."""

    def moved(self, buffer: Tensor, fn: Callable[[Tensor], Tensor]) -> Tensor:
        after = fn(buffer)
        precision = torch.promote_types(after.dtype, torch.float32)
        return (after if after.dtype == precision else buffer).to(after.device, precision)


def settings(module: nn.Module) -> dict[str, Tensor]:
    """The buffers of regnet's own modules inside `module`, by name: strengths, rates, moments of the inputs.

    No forward pass changes them, and they are no weights: nothing may average them.
    """
    return {
        f"{prefix}.{name}" if prefix else name: buffer
        for prefix, one in module.named_modules()
        if isinstance(one, Exact)
        for name, buffer in one._buffers.items()
        if buffer is not None
    }
