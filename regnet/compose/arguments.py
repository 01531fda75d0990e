"""Whether the settings of a config suit what the annotations of a class or function say."""

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from functools import cache
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..core.errors import UserError, near, shown

FEW = 16  # names that are told
WORDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", NoneType: "null"}
SEVERAL = {int: "whole numbers", float: "finite numbers", bool: "true or false", str: "texts"}


def suited(
    function: Callable[..., Any], settings: Mapping[str, Any], key: str, given_at: Callable[[str], str] = str
) -> dict[str, Any]:
    """`settings` as `function` takes them: a whole number where text is asked is its text.

    Only what a config can write is judged: objects made of other nodes pass, as does what has no annotation.
    Errors name a setting by `given_at` of its key.

    Raises:
        UserError: a name that `function` does not take, or a value of another kind than its annotation says.
    """
    parameters, any_name = signature(function)
    result = dict(settings)
    for name, value in settings.items():
        if name not in parameters:
            if any_name:
                continue
            offer = near(name, parameters)
            if len(parameters) <= FEW:
                offer += f" (it has {', '.join(parameters) or 'none'})"
            raise UserError(f"{given_at(f'{key}.{name}')}={value} is no setting of {_name(function)}{offer}")
        hint, default = parameters[name]
        is_default = type(value) is type(default) and value == default
        if is_default or fits(value, hint):
            continue
        if type(value) is not int or {hint, *get_args(hint)} - {NoneType} != {str}:
            raise UserError(f"{given_at(f'{key}.{name}')}={shown(value)} must be {describe(hint)}")
        result[name] = str(value)
    return result


@cache
def signature(function: Callable[..., Any]) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """Annotation and default of each parameter that can be given by name, and whether any other name may be given."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of a function written in C
        return {}, True
    made = function.__init__ if inspect.isclass(function) else function
    try:
        hints = get_type_hints(made)
    except Exception:  # an annotation that names what is imported for type checkers only
        hints = {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = {name: (hints.get(name, Any), p.default) for name, p in parameters.items() if p.kind in named}
    return known, any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config is of the kind that an annotation says; what cannot be judged is."""
    written = isinstance(value, None | bool | int | float | str | list | tuple | Mapping)
    if not written or (isinstance(value, Mapping) and "_target_" in value):
        return True
    if hint in (Any, object):
        return not (isinstance(value, float) and math.isnan(value))
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in inner)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if hint in (None, NoneType):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    if hint in (bool, int, str):
        return type(value) is hint
    kind = origin or hint
    if not isinstance(kind, type):
        return True
    if isinstance(value, Mapping):
        of = inner[1] if len(inner) == 2 else Any
        return (issubclass(dict, kind) or issubclass(kind, Mapping)) and all(fits(one, of) for one in value.values())
    if isinstance(value, list | tuple):
        return _fits_list(value, kind, inner)
    return isinstance(value, str) and _has_names(kind)


def _has_names(kind: type) -> bool:
    """Whether a text stands for a thing of this class."""
    return issubclass(kind, Enum | PurePath) or (kind.__module__, kind.__name__) in (
        ("torch", "device"),
        ("torch", "dtype"),
    )


def _fits_list(values: Collection[Any], kind: type, inner: tuple[Any, ...]) -> bool:
    if not _of_lists(kind):
        return False
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(values) == len(inner) and all(map(fits, values, inner))
    return not inner or all(fits(value, inner[0]) for value in values)


def _of_lists(kind: type) -> bool:
    of_python = kind.__module__ in ("builtins", "collections.abc")  # a protocol of others cannot be asked
    return issubclass(kind, list | tuple | set | frozenset) or (of_python and issubclass(list, kind))


def describe(hint: Any) -> str:
    """An annotation in words, as far as a config can write it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        parts = [part for part in inner if not (part is int and float in inner)]
        return " or ".join(dict.fromkeys(word for part in parts if (word := describe(part)))) or _name(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else str(inner[0])
    if hint in WORDS:
        return WORDS[hint]
    if hint in (Any, object):
        return "another value than nan"
    kind = origin or hint
    if not isinstance(kind, type):
        return "another value"
    if issubclass(kind, Mapping):
        return "a mapping {key: value}"
    if _of_lists(kind):
        return f"a list{_several(kind, inner)}"
    return f"text, the name of a {_name(kind)}" if _has_names(kind) else ""


def _several(kind: type, inner: tuple[Any, ...]) -> str:
    if not inner:
        return ""
    number = f"{len(inner)} " if kind is tuple and inner[-1] is not Ellipsis else ""
    union = get_origin(inner[0]) in (Union, UnionType)
    if parts := [part for part in (get_args(inner[0]) if union else inner[:1]) if part in SEVERAL]:
        return f" of {number}{' or '.join(SEVERAL[part] for part in parts)}"
    return f" of {describe(inner[0]).replace('a list', 'lists')}"


def _name(thing: Any) -> str:
    return getattr(thing, "__name__", str(thing))
