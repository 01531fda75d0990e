"""Packages that Lightning imports whole for the sake of a name or two are loaded when more of them is used.

``torch._dynamo`` (with SymPy and triton) and ``torchmetrics`` (with torchvision, SciPy and matplotlib) take more than
half of the time of ``import lightning``. Lightning asks whether a module was compiled, which none is before
``torch._dynamo`` is loaded, and derives from ``torchmetrics.Metric``. torch's optimizers tell the compiler not to look
into them.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import spec_from_loader
from threading import RLock
from types import ModuleType
from typing import Any

LOCK = RLock()


class Deferred(ModuleType):
    """A module that is loaded, in place, when it is asked for more than its `ANSWERS`; then it is as any other."""

    def __getattr__(self, name: str) -> Any:
        with LOCK:  # another thread waits until all is there; the one that loads it sees what there is
            if type(self) is Deferred and name in ANSWERS[self.__name__]:
                with _answering():
                    vars(self)[name] = ANSWERS[self.__name__][name]()  # until it is loaded
                return vars(self)[name]
            if type(self) is Deferred and (not name.startswith("__") or name == "__all__"):
                load(self)
            return ModuleType.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        load(self)
        return dir(self)


class _Loading(Deferred):
    pass


def load(module: ModuleType) -> None:
    """Loads it, if it is deferred."""
    with LOCK:
        if type(module) is not Deferred:
            return
        module.__class__ = _Loading
        spec: Any = module.__spec__
        spec.loader = module.__loader__ = spec.loader.real
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(module.__name__, None)
            raise
        finally:
            module.__class__ = ModuleType  # type: ignore[assignment]  # narrowed above


def load_all() -> bool:
    """Loads all that are deferred and were asked for; whether there were any."""
    found = [module for name in ANSWERS if type(module := sys.modules.get(name)) is Deferred]
    for module in found:
        load(module)
    return bool(found)


class _Loader(Loader):
    """Leaves a module as it is."""

    def __init__(self, real: Loader) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Part(Loader):
    """Loads a part of a deferred package, and what it imports of that package, without the package itself."""

    def __init__(self, real: Loader) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec: Any = module.__spec__
        spec.loader = module.__loader__ = self.real
        with _answering():
            self.real.exec_module(module)


class _Loaded(Loader):
    """Gives a module that is there, as its package has loaded it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = sys.modules[spec.name]
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # which importlib has replaced


class _Finder(MetaPathFinder):
    answering = False  # by parts of a deferred package

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in ANSWERS:
            spec = self._real(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)
            return spec
        package = sys.modules.get(name.rpartition(".")[0])
        if type(package) is not Deferred or self.answering:
            return None
        if name in PARTS:
            spec = self._real(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Part(spec.loader)
            return spec
        load(package)
        return spec_from_loader(name, _Loaded()) if name in sys.modules else None

    def _real(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        return next((spec for spec in others if spec is not None), None)


@contextmanager
def _answering() -> Iterator[None]:
    before, FINDER.answering = FINDER.answering, True
    try:
        yield
    finally:
        FINDER.answering = before


class _InstancesLater(type):
    """A class without instances until its module is loaded, and then with those of the class of its name there."""

    def __instancecheck__(cls, instance: object) -> bool:
        return (real := cls.real()) is not None and isinstance(instance, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return (real := cls.real()) is not None and issubclass(subclass, real)

    def real(cls) -> Any:
        module = sys.modules.get(cls.__module__)
        return None if module is None or isinstance(module, Deferred) else getattr(module, cls.__name__)


def _instances_later(module: str, name: str) -> type:
    return _InstancesLater(name, (), {"__module__": module})


def _disable(fn: Any = None, recursive: bool = True, **options: Any) -> Any:
    """`torch._dynamo.disable`: the compiler does not look into `fn`. Nothing is compiled before it is loaded."""
    if fn is None:
        return partial(_disable, recursive=recursive, **options)
    disabled: Any = None

    @wraps(fn)
    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal disabled
        if disabled is None:
            dynamo: Any = sys.modules["torch._dynamo"]
            if isinstance(dynamo, Deferred):
                return fn(*arguments, **named)
            disabled = dynamo.disable(fn, recursive, **options)
        return disabled(*arguments, **named)

    return call


def _graph_break(*_: Any, **__: Any) -> None:
    """`torch._dynamo.graph_break`, which does something only where it compiles."""


def _unknown() -> None:
    """torch looks whether its code cache is there, which would have code lines for a traceback."""
    raise AttributeError


def _part(module: str, name: str) -> Any:
    """Something of torchmetrics that its other parts need not be loaded for."""
    import_module("torchmetrics.utilities")  # imports the module of `Metric`, which in turn imports from it
    return getattr(import_module(module), name)


def _plot(*arguments: Any, **options: Any) -> Any:
    plots: Any = import_module("torchmetrics.utilities.plot")
    load(plots)
    return plots.plot_single_or_multi_val(*arguments, **options)


ANSWERS: dict[str, dict[str, Callable[[], Any]]] = {
    "torch._dynamo": {
        "OptimizedModule": partial(_instances_later, "torch._dynamo", "OptimizedModule"),
        "config": partial(import_module, "torch._dynamo.config"),
        "disable": lambda: _disable,
        "graph_break": lambda: _graph_break,
    },
    "torch._inductor": {"codecache": _unknown, "config": partial(import_module, "torch._inductor.config")},
    "torchmetrics": {
        "__version__": partial(version, "torchmetrics"),
        "_logger": partial(logging.getLogger, "torchmetrics"),
        "Metric": partial(_part, "torchmetrics.metric", "Metric"),
        "MetricCollection": partial(_part, "torchmetrics.collections", "MetricCollection"),
    },
    "torchmetrics.utilities.plot": {  # what it answers without matplotlib
        "_AX_TYPE": lambda: object,
        "_PLOT_OUT_TYPE": lambda: object,
        "plot_single_or_multi_val": lambda: _plot,
    },
}
PARTS = (  # are imported without their package
    "torch._dynamo.config",
    "torch._inductor.compiler_bisector",
    "torch._inductor.config",
    "torch._inductor.fx_passes",
)
FINDER = _Finder()


def defer() -> None:
    """From now on the modules of `ANSWERS` are loaded when they are used, and not when they are imported."""
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)
