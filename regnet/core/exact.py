"""Numbers that training precision must not round."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn


def wide(x: Tensor) -> Tensor:
    """In float32 at least: half precision is too narrow for sums, averages and small steps."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def in_precision(x: Tensor, dtype: torch.dtype) -> Tensor:
    """What a network of this precision takes: whole numbers, such as tokens, stay what they are."""
    return x.to(dtype) if x.is_floating_point() else x


class Exact(nn.Module):
    """A module whose own buffers follow to any device, and stay in the precision they were made in.

    Training in half precision would round them: a rate of 0.999 becomes 1 in bfloat16, a mean of 2001
    becomes 2000.
    """

    unpackable: ClassVar[str | None] = None  # why runs that have one cannot be trained as one

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, before in exact.items():
            after = self._buffers[name]
            if before is not None and after is not None:
                self._buffers[name] = self.kept(before, after)
        return self

    def kept(self, before: Tensor, after: Tensor) -> Tensor:
        """What stays of a buffer that was to become `after`."""
        return before.to(after.device)


class Wide(Exact):
    """A module whose own buffers follow to any device and precision, but to none below float32."""

    def kept(self, before: Tensor, after: Tensor) -> Tensor:
        precision = torch.promote_types(after.dtype, torch.float32)
        return (after if after.dtype == precision else before).to(after.device, precision)


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
