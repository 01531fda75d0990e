"""What a person's classes keep outside of their objects: attributes of the class, defaults, closures and globals."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from ..training.trace import OURS
from .alike import described

CODE = (ModuleType, type, FunctionType, nn.Module)  # which holds no state, or is looked at elsewhere


class _Place(NamedTuple):
    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]


class _Kept(NamedTuple):
    """What lay at a place: how it is described, itself, and a copy."""

    place: _Place
    text: str
    value: Any
    content: Any

    def changed(self) -> bool:
        return described(self.place.get()) != self.text


class Outside:
    """What the classes of `modules` that are neither regnet's nor torch's keep there, at the time this is made."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        kinds = {kind for module in modules for kind in type(module).__mro__}
        own = [kind for kind in kinds if kind is not object and not kind.__module__.startswith((*OURS, "torch."))]
        self.kept = [_kept(place) for kind in own for place in _of_class(kind)]

    def changed(self) -> list[str]:
        """The names of what is no longer as it was."""
        return [kept.place.name for kept in self.kept if kept.changed()]

    def put_back(self) -> None:
        """Numbers, texts and containers are as they were."""
        for kept in self.kept:
            if kept.changed():
                _refill(kept.value, kept.content)
                kept.place.put(kept.value)


def _kept(place: _Place) -> _Kept:
    value = place.get()
    content = None
    with suppress(Exception):  # it cannot be copied, such as a lock
        content = copy.deepcopy(value)
    return _Kept(place, described(value), value, content)


def _refill(value: Any, content: Any) -> None:
    if isinstance(value, Tensor):
        value.data.copy_(content)
    elif isinstance(value, np.ndarray):
        value[...] = content
    elif isinstance(value, dict | set):
        value.clear()
        value.update(content)
    elif hasattr(value, "extend"):  # a list, or what is like one
        value.clear()
        value.extend(content)


def _of_class(kind: type) -> Iterator[_Place]:
    for key, value in list(vars(kind).items()):
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(function, FunctionType):
            yield from _of_function(f"{kind.__name__}.{key}", function)
        elif not key.startswith("__") and not hasattr(value, "__get__"):
            yield _Place(f"{kind.__name__}.{key}", partial(getattr, kind, key), partial(setattr, kind, key))


def _of_function(path: str, function: FunctionType) -> Iterator[_Place]:
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield _Place(f"a default of {path}", partial(_itself, value), _itself)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is empty as yet
            if not isinstance(cell.cell_contents, CODE):
                yield _Place(f"{name} around {path}", partial(getattr, cell, "cell_contents"), partial(_fill, cell))
    for name in _names(function.__code__) & function.__globals__.keys():
        if not isinstance(function.__globals__[name], CODE):
            space = function.__globals__
            yield _Place(f"the global {name}", partial(space.get, name), partial(space.__setitem__, name))


def _names(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _itself(value: Any) -> Any:
    return value


def _fill(cell: Any, value: Any) -> None:
    cell.cell_contents = value
