"""A step's computation without Python's part in it."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._guards import TracingContext, tracing
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.parametrize import type_before_parametrizations

from ..core.deferred import load_all
from ..core.graphs import Graphed, captured
from .simplify import simplified

log = logging.getLogger(__name__)

OURS = ("regnet.", "torch.nn.")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

Computation = Callable[..., Sequence[Any]]  # of tensors, and None


class Traced:
    """A function of tensors, recorded when it is called as the plain list of tensor operations that it comes to.

    Modules, `vmap` and autograd are then out of the way, and what can be left out of the list is left out (see
    `simplify`): a step of an MLP 784-128-10 with dropout, L1 and L2 takes .6 of a hand-written one's time. There is one
    recording for each set of shapes and strides. It is bitwise exact, but for decisions taken in Python: those of the
    first call stand. So what is recorded must take none by anything but shapes, see `takes_no_decisions`.
    On a GPU it becomes a CUDA graph, whose results the next call overwrites, see `Graphed`.

    Args:
        function: tensors ─► tensors; it may write into its arguments.
        written: how many of the first arguments it may write into.
        settings: how many of the next ones seldom change. What follows from them alone is computed when they do.
    """

    def __init__(self, function: Computation, written: int, settings: int = 0) -> None:
        self.function, self.written = function, written
        self.settings = slice(written, written + settings)
        self.recorded: dict[tuple, Computation] = {}
        self.calls: Counter[tuple] = Counter()
        self.patience = 0  # calls with the same shapes before they are recorded

    def __call__(self, *tensors: Tensor) -> Sequence[Any]:
        key = tuple((t.shape, t.stride(), t.dtype) for t in tensors)
        if key not in self.recorded:
            self.calls[key] += 1
            if self.calls[key] <= self.patience:
                return self.function(*tensors)
            self.recorded[key] = captured(self._record(tensors), self.written, tensors[0].device)
        device = tensors[0].device.type
        if not torch.is_autocast_enabled(device):
            return self.recorded[key](*tensors)
        with torch.autocast(device, enabled=False):  # whose casts were recorded, where they apply
            return self.recorded[key](*tensors)

    def forget(self) -> None:
        """Lets go of what it keeps on a GPU for tensors that are not there any more."""
        for recorded in self.recorded.values():
            if isinstance(recorded, Graphed):
                recorded.forget()

    def _record(self, tensors: Sequence[Tensor]) -> Computation:
        """Recording computes as well: copies take what it writes, and random numbers go on as if it had not been."""
        recorded: Any = _on_copies(partial(_graph, self.function), tensors, self.written)[0]  # a GraphModule
        with torch.no_grad(), torch.autocast(tensors[0].device.type, enabled=False):
            wanted = _on_copies(recorded.forward, tensors, self.written)
            try:
                shorter = self._simplified(recorded, tensors)
                if _same(_on_copies(shorter, tensors, self.written), wanted):
                    return shorter
            except Exception:  # an operation that is not what it says
                log.debug("a recorded step cannot be simplified", exc_info=True)
        return recorded.forward

    def _simplified(self, recorded: GraphModule, tensors: Sequence[Tensor]) -> Computation:
        settings = range(*self.settings.indices(len(tensors)))
        (prepare, compute), _ = _on_copies(
            lambda *copies: simplified(recorded, copies, settings), tensors, self.written
        )
        return _Prepared(prepare, compute, settings)


def prepare_recording() -> None:
    """Imports what recording takes, half a second: once, where processes are to part."""
    _graph(lambda x: [-x], torch.zeros(1))


def _graph(function: Computation, *tensors: Tensor) -> Any:
    import torch._higher_order_ops.triton_kernel_wrap  # noqa: F401  (`make_fx` relies on the compiler to import it)
    from torch._subclasses.fake_tensor import FakeTensorMode

    # else `make_fx` makes a mode for the shape of every single result, with a trace of the stack: a third of its time
    with tracing(TracingContext(FakeTensorMode(allow_fallback_kernels=True))):
        try:
            return make_fx(function)(*tensors)
        except Exception:
            if not load_all():  # what else it relies on differs between versions of torch
                raise
            return make_fx(function)(*tensors)


class _Prepared:
    """A computation in two parts, of which the first is done again only when what it depends on has changed."""

    def __init__(self, prepare: Computation, compute: Computation, settings: range) -> None:
        self.prepare, self.compute, self.settings = prepare, compute, settings
        self.seen: list[tuple[Tensor, int]] = []
        self.prepared: Sequence[Any] | None = None

    def __call__(self, *tensors: Tensor) -> Sequence[Any]:
        settings = tensors[self.settings.start : self.settings.stop]
        if self.prepared is None or any(
            now is not before or now._version != version
            for now, (before, version) in zip(settings, self.seen, strict=True)
        ):
            self.prepared = self.prepare(*settings)
            self.seen = [(setting, setting._version) for setting in settings]
        return self.compute(*self.prepared, *tensors)


def _on_copies(computation: Callable[..., Any], tensors: Sequence[Tensor], written: int) -> tuple[Any, list[Tensor]]:
    """What it returns, and the copies of what it writes."""
    with torch.random.fork_rng([t.device for t in tensors[:1] if t.is_cuda]):
        copies = [t.detach().clone() for t in tensors[:written]]
        return computation(*copies, *tensors[written:]), copies


def _same(one: Any, other: Any) -> bool:
    """Bitwise, of tensors in lists of lists."""
    if not isinstance(one, Tensor):
        return one is other or (len(one) == len(other) and all(map(_same, one, other)))
    alike = one.dtype == other.dtype and one.shape == other.shape and one.stride() == other.stride()
    return alike and bool(((one == other) | ((one != one) & (other != other))).all())  # NaN is NaN


def takes_no_decisions(modules: Iterable[nn.Module]) -> bool:
    """Whether all are regnet's or torch's own: a stranger's may draw from Python's `random`, or count its calls."""
    every = {part for module in modules for part in module.modules()}
    return all(type_before_parametrizations(part).__module__.startswith(OURS) for part in every) and not any(
        _is_strange(hook) for part in every for kind in HOOKS for hook in getattr(part, kind).values()
    )


def _is_strange(hook: Callable[..., Any]) -> bool:
    hook = hook.func if isinstance(hook, partial) else hook
    return not getattr(hook, "__module__", type(hook).__module__).startswith(OURS)
