"""Which parameters count as weights: one definition for penalties, constraints, decay and sparsity."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized, type_before_parametrizations

NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Select = str | Sequence[str] | None


class Weight(NamedTuple):
    """A parameter, its dotted name, the layer that owns it, and its name among the network's parameters.

    Under a parametrization (DropConnect, weight norm, ...) `tensor` is what is trained, and `name` and `module` are
    still those of the layer: ``head.weight``, whose `key` is ``head.parametrizations.weight.original``.
    """

    name: str
    tensor: Tensor
    module: nn.Module
    key: str

    @property
    def used(self) -> Tensor:
        """The weight as the layer's forward pass sees it."""
        return getattr(self.module, self.name.rpartition(".")[2])

    @property
    def layers(self) -> list[nn.Module]:
        """The parametrizations that make what is `used` out of `tensor`, in their order."""
        attribute = self.name.rpartition(".")[2]
        return list(self.module.parametrizations[attribute]) if is_parametrized(self.module, attribute) else []

    @property
    def units(self) -> Tensor:
        """A view (groups, units, fan-in...): one slice per output unit of a Linear, Conv or ConvTranspose."""
        if self.tensor.ndim < 2:  # a bias or scale: one number for each unit
            return self.tensor.view(1, -1, 1)
        if isinstance(self.module, TRANSPOSED):  # (in, out/groups, k...)
            return self.tensor.unflatten(0, (self.module.groups, -1)).transpose(1, 2)
        return self.tensor.unsqueeze(0)  # (1, out, in, k...)

    @property
    def blocks(self) -> Tensor:
        """(groups, out, in, k): what connects inputs and outputs, one block for each group of a convolution."""
        blocks = self.units
        if self.tensor.ndim >= 2 and isinstance(self.module, CONVOLUTIONS):
            blocks = self.tensor.unflatten(0, (self.module.groups, -1))
        return blocks.reshape(*blocks.shape[:3], -1)


def weights(network: nn.Module, select: Select = None) -> list[Weight]:
    """The weights of `network`: parameters of ndim >= 2 outside normalization layers, each once.

    `select` asks for others, by one or several patterns:
      ``"head.*"``, ``"*.bias"``  globs of parameter names, which take whatever they match
      ``"re:conv[12]"``           a regular expression that is found in the name, as well
      ``"layer:0"``, ``"layer:-1"``, ``"layer:1:3"``  by position among the layers with weights: those weights
      ``"Conv2d"``                a class: the weights of such modules, or scale and shift of a normalization

    Raises:
        ValueError: a pattern of `select` matches no parameter of `network`.
    """
    parameters = list(_parameters(network))
    if select is None:
        return [weight for weight in parameters if _is_weight(weight)]
    patterns = [select] if isinstance(select, str) else list(select)
    found = [_matching(parameters, pattern) for pattern in patterns]
    idle = [pattern for pattern, keys in zip(patterns, found, strict=True) if not keys]
    if idle or not patterns:
        names = ", ".join(weight.name for weight in parameters)
        raise ValueError(f"select={', '.join(idle)!r} matches no parameter; the network has {names}")
    chosen = set().union(*found)
    return [weight for weight in parameters if weight.key in chosen]


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


def weight_statistics(network: nn.Module) -> dict[str, float]:
    """Norm and sparsity of each weight tensor and of all of them together.

    ``norm``: ||w||_2. ``sparsity``: the share of entries with |w| < 1e-3 max|w| of their own tensor.
    ``zeros``: the share of exact zeros. Keys are ``norm/<name>`` for each tensor and ``norm`` for all.
    Of the weights as the layers use them: in evaluation mode those that a gate has closed are zeros.
    """
    found = weights(network)
    return name_statistics(found, tensor_statistics([w.used.detach() for w in found]).cpu()) if found else {}


def tensor_statistics(tensors: Sequence[Tensor]) -> Tensor:
    """Of each tensor its squared norm, number of near-zero entries and number of exact zeros, (tensors, 3)."""
    rows = []
    for w in tensors:
        magnitude = w.abs()
        small, zero = magnitude < 1e-3 * magnitude.amax(), w == 0
        # an all-zero tensor has no entry below its largest, and is as sparse as can be
        wide = w.to(torch.promote_types(w.dtype, torch.float32))
        rows.append(torch.stack([wide.square().sum(), (small | zero).sum(), zero.sum()]))
    return torch.stack(rows)


def name_statistics(found: Sequence[Weight], rows: Tensor) -> dict[str, float]:
    """The statistics of `weight_statistics` from those of the tensors, (tensors, 3) on the CPU."""
    rows = rows.double()
    sizes = torch.tensor([weight.tensor.numel() for weight in found], dtype=torch.float64)
    names = [f"/{weight.name}" for weight in found] + [""]
    rows = torch.cat([rows, rows.sum(0, keepdim=True)])
    sizes = torch.cat([sizes, sizes.sum(0, keepdim=True)])
    columns = {"norm": rows[:, 0].sqrt(), "sparsity": rows[:, 1] / sizes, "zeros": rows[:, 2] / sizes}
    return {
        f"{key}{name}": value
        for key, column in columns.items()
        for name, value in zip(names, column.tolist(), strict=True)
    }


def _parameters(network: nn.Module) -> Iterator[Weight]:
    seen = set()
    for prefix, module in network.named_modules():
        path = f"{prefix}." if prefix else ""
        for name, key, tensor in _own(module):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield Weight(path + name, tensor, module, path + key)


def _own(module: nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    """Name, key and tensor of a module's own parameters; those under parametrizations belong to the layer above."""
    if isinstance(module, ParametrizationList):
        return
    for name, tensor in module._parameters.items():
        if tensor is not None:
            yield name, name, tensor
    for name, chain in module.parametrizations.items() if is_parametrized(module) else ():
        for part, tensor in chain._parameters.items():
            if part != "original0":  # the norms of weight norm: a scale, as batch norm's
                yield name, f"parametrizations.{name}.{part}", tensor


def _is_weight(weight: Weight) -> bool:
    inside = ".parametrizations." in f".{weight.name}"  # what a parametrization learns for itself
    return weight.tensor.ndim >= 2 and not isinstance(weight.module, NORMALIZATIONS) and not inside


def _matching(parameters: Sequence[Weight], pattern: str) -> set[str]:
    """The keys of those that match."""
    if pattern.startswith("re:"):
        return {weight.key for weight in parameters if _found(pattern, weight.name)}
    if pattern.startswith("layer:"):
        layers = list(dict.fromkeys(weight.module for weight in parameters if _is_weight(weight)))
        chosen = _at(layers, pattern)
        return {weight.key for weight in parameters if weight.module in chosen and _is_weight(weight)}
    return {weight.key for weight in parameters if _matches(weight, pattern)}


def _found(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern.removeprefix("re:"), name) is not None
    except re.error as error:
        raise ValueError(f"select={pattern!r} is no regular expression: {error}") from error


def _at(layers: Sequence[nn.Module], pattern: str) -> Sequence[nn.Module]:
    try:
        place = [int(part) if part else None for part in pattern[6:].split(":")]
        if len(place) > 1:
            return layers[slice(*place)]
        return [layers[place[0]]] if -len(layers) <= place[0] < len(layers) else []
    except (ValueError, TypeError):
        raise ValueError(f"select={pattern!r} is no position; write layer:0, layer:-1 or layer:1:3") from None


def _matches(weight: Weight, pattern: str) -> bool:
    if type_before_parametrizations(weight.module).__name__ == pattern:
        return _is_weight(weight) or isinstance(weight.module, NORMALIZATIONS)
    return fnmatchcase(weight.name, pattern)
