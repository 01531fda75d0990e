"""The patterns by which a person chooses parameters and modules: see `regnet.core.weights.weights`."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from .roles import NORMALIZATIONS, WEIGHT
from .weight import Weight

Select = str | Sequence[str] | None


def selected(every: Sequence[Weight], select: str | Sequence[str]) -> list[Weight]:
    """Those of `every` that one of the patterns matches. Raises ValueError for a pattern that matches none."""
    patterns = [select] if isinstance(select, str) else list(select)
    found = [_matching(every, pattern) for pattern in patterns]
    idle = [pattern for pattern, keys in zip(patterns, found, strict=True) if not keys]
    if idle or not patterns:
        names = ", ".join(weight.name for weight in every)
        raise ValueError(f"select={', '.join(idle)!r} matches no parameter; the network has {names}")
    chosen = set().union(*found)
    return [weight for weight in every if weight.key in chosen]


def scaled(found: Sequence[Weight], scale: Mapping[str, float] | None) -> list[tuple[float, list[Weight]]]:
    """`found` in groups of one factor each: `scale` has factors by the patterns of `select`, the last that matches.

    Raises:
        ValueError: a pattern that matches none of them, or a factor that is no number >= 0.
    """
    factors = dict.fromkeys((weight.key for weight in found), 1.0)
    for pattern, factor in (scale or {}).items():
        if not isinstance(factor, int | float) or not factor >= 0:
            raise ValueError(f"scale.{pattern} must be a number >= 0, got {factor!r}")
        keys = _matching(found, pattern)
        if not keys:
            raise ValueError(f"scale.{pattern} matches none of {', '.join(weight.name for weight in found)}")
        factors |= dict.fromkeys(keys, float(factor))
    return [(factor, [w for w in found if factors[w.key] == factor]) for factor in dict.fromkeys(factors.values())]


def modules(network: nn.Module, select: str | Sequence[str]) -> list[nn.Module]:
    """The modules whose dotted name matches a glob or ``re:`` pattern of `select`, or whose class it names; each once.

    Raises:
        ValueError: a pattern that matches no module.
    """
    named = {name: module for name, module in network.named_modules() if name}
    chosen: dict[str, nn.Module] = {}
    for pattern in [select] if isinstance(select, str) else select:
        found = {name: module for name, module in named.items() if _names(name, module, pattern)}
        if not found:
            classes = sorted({type_before_parametrizations(module).__name__ for module in named.values()})
            raise ValueError(f"{pattern!r} matches no module; the network has {', '.join(classes)}")
        chosen |= found
    return [module for name, module in named.items() if name in chosen]


def _names(name: str, module: nn.Module, pattern: str) -> bool:
    if pattern.startswith("re:"):
        return _found(pattern, name)
    return type_before_parametrizations(module).__name__ == pattern or fnmatchcase(name, pattern)


def _matching(parameters: Sequence[Weight], pattern: str) -> set[str]:
    """The keys of those that match."""
    if pattern.startswith("re:"):
        return {weight.key for weight in parameters if _found(pattern, weight.name)}
    if pattern.startswith("layer:"):
        layers = list(dict.fromkeys(weight.module for weight in parameters if weight.role == WEIGHT))
        chosen = _at(layers, pattern)
        return {weight.key for weight in parameters if weight.module in chosen and weight.role == WEIGHT}
    return {weight.key for weight in parameters if _matches(weight, pattern)}


def _found(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern.removeprefix("re:"), name) is not None
    except re.error as error:
        raise ValueError(f"select={pattern!r} is no regular expression: {error}") from error


def _at(layers: Sequence[nn.Module], pattern: str) -> Sequence[nn.Module]:
    try:
        place = pattern.removeprefix("layer:")
        if ":" in place:
            return layers[slice(*[int(part) if part else None for part in place.split(":")])]
        return [layers[int(place)]] if -len(layers) <= int(place) < len(layers) else []
    except (ValueError, TypeError):
        raise ValueError(f"select={pattern!r} is no position; write layer:0, layer:-1 or layer:1:3") from None


def _matches(weight: Weight, pattern: str) -> bool:
    if type_before_parametrizations(weight.module).__name__ == pattern:
        return weight.role == WEIGHT or isinstance(weight.module, NORMALIZATIONS)
    return fnmatchcase(weight.name, pattern)
