"""A step's computation without Python's part in it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.parametrize import type_before_parametrizations

from ..core.graphs import Graphed, captured

OURS = ("regnet.", "torch.nn.")


class Traced:
    """A function of tensors, recorded when it is called as the plain list of tensor operations that it comes to.

    Modules, `vmap` and autograd are then out of the way: a step of 16 MLPs 64-128-10 takes 2.3 ms in place of 5.8.
    There is one recording for each set of shapes and strides. It is exact, but for decisions taken in Python: those
    of the first call stand. So what is recorded must take none by anything but shapes, see `takes_no_decisions`.
    On a GPU it becomes a CUDA graph, whose results the next call overwrites, see `Graphed`.

    Args:
        function: tensors ─► tensors; it may write into its arguments.
        written: how many of the first arguments it may write into.
    """

    def __init__(self, function: Callable[..., Sequence[Tensor]], written: int) -> None:
        self.function, self.written = function, written
        self.recorded: dict[tuple, Callable[..., Sequence[Tensor]]] = {}
        self.calls: Counter[tuple] = Counter()
        self.patience = 0  # calls with the same shapes before they are recorded

    def __call__(self, *tensors: Tensor) -> Sequence[Tensor]:
        key = tuple((t.shape, t.stride(), t.dtype) for t in tensors)
        if key not in self.recorded:
            self.calls[key] += 1
            if self.calls[key] <= self.patience:
                return self.function(*tensors)
            # recording computes as well: copies take what it writes
            copies = [t.clone() for t in tensors[: self.written]]
            played = make_fx(self.function)(*copies, *tensors[self.written :]).forward
            self.recorded[key] = captured(played, self.written, tensors[0].device)
        with torch.autocast(tensors[0].device.type, enabled=False):  # whose casts were recorded, where they apply
            return self.recorded[key](*tensors)

    def forget(self) -> None:
        """Lets go of what it keeps on a GPU for tensors that are not there any more."""
        for played in self.recorded.values():
            if isinstance(played, Graphed):
                played.forget()


def takes_no_decisions(modules: Iterable[nn.Module]) -> bool:
    """Whether all are regnet's or torch's own: a stranger's may draw from Python's `random`, or count its calls."""
    kinds = {type_before_parametrizations(part) for module in modules for part in module.modules()}
    return all(kind.__module__.startswith(OURS) for kind in kinds)
