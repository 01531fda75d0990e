"""Numbers that training precision must not round."""

from collections.abc import Callable

from torch import Tensor, nn


class Exact(nn.Module):
    """A module whose own buffers follow to any device, and stay in the precision they were made in.

    Training in half precision would round them: a rate of 0.999 becomes 1 in bfloat16, a mean of 2001
    becomes 2000.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            self._buffers[name] = buffer.to(self._buffers[name].device)
        return self
