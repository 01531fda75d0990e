"""What a person's classes keep outside of their objects: attributes of the class, defaults, closures and globals."""

from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from .alike import described
from .trace import OURS


def outside(modules: Iterable[nn.Module]) -> Iterator[tuple[str, str]]:
    """Name and description of each, of the classes that are neither regnet's nor torch's own."""
    kinds = {kind for module in modules for kind in type(module).__mro__}
    for kind in kinds:
        if kind is object or kind.__module__.startswith((*OURS, "torch.")):
            continue
        for key, value in list(vars(kind).items()):
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(function, FunctionType):
                yield f"{kind.__name__}.{key}", described(function)
                yield from _globals_of(function)
            elif not key.startswith("__") and not hasattr(value, "__get__"):
                yield f"{kind.__name__}.{key}", described(value)


def _globals_of(function: FunctionType) -> Iterator[tuple[str, str]]:
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if value is not None and not isinstance(value, ModuleType | type | FunctionType | nn.Module):
            yield f"the global {name}", described(value)


def _names(code: CodeType) -> set[str]:
    inner: list[Any] = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, inner))
