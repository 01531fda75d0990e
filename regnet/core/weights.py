"""Which parameters count as weights: one definition for penalties, constraints, decay and sparsity."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from .exact import wide
from .parametrized import computed, made
from .patterns import Select, modules, scaled, selected  # noqa: F401  (modules: people's code has it from here)
from .roles import WEIGHT, excluded_by, own_class, role
from .weight import CONVOLUTIONS, TRANSPOSED, Weight  # noqa: F401  (people's code has them from here)

EXCLUDED, PART = "no_weight_decay", "part"  # roles: the network itself takes it out; a weight is computed from it


def weights(network: nn.Module, select: Select = None, frozen: bool = False) -> list[Weight]:
    """The weights of `network`: parameters of ndim >= 2 that multiply inputs, each once.

    What multiplies is told by the layer's class, else by shape and name: see `regnet.core.roles.role`. What the network
    itself takes out by ``no_weight_decay()``, as timm's transformers do, is none. A weight that is computed, as under
    weight norm, is one weight: the result.

    `select` asks for others, by one or several patterns:
      ``"head.*"``, ``"*.bias"``  globs of parameter names, which take whatever they match
      ``"re:conv[12]"``           a regular expression that is found in the name, as well
      ``"layer:0"``, ``"layer:-1"``, ``"layer:1:3"``  by position among the layers with weights: those weights
      ``"Conv2d"``                a class: the weights of such modules, or scale and shift of a normalization

    Args:
        frozen: whether those that have ``requires_grad=False`` now are among them.

    Raises:
        ValueError: a pattern of `select` matches no parameter of `network`, or a lazy module has no parameters yet.
    """
    every = [parameter for parameter in parameters(network) if parameter.role != PART]
    found = [weight for weight in every if weight.role == WEIGHT] if select is None else selected(every, select)
    return found if frozen else [weight for weight in found if weight.trained]


def grouped(
    network: nn.Module, select: Select = None, scale: Mapping[str, float] | None = None
) -> list[tuple[float, list[Weight]]]:
    """The weights that are trained, in groups of one factor each, see `scaled`. Places count the frozen ones, too."""
    groups = scaled(weights(network, select, frozen=True), scale)
    trained = [(factor, [weight for weight in found if weight.trained]) for factor, found in groups]
    return [(factor, found) for factor, found in trained if found]


def weight_statistics(network: nn.Module) -> dict[str, float]:
    """Norm and sparsity of each weight tensor and of all of them together.

    ``norm``: ||w||_2. ``sparsity``: the share of entries with |w| < 1e-3 max|w| of their own tensor.
    ``zeros``: the share of exact zeros. Keys are ``norm/<name>`` for each tensor and ``norm`` for all.
    Of the weights as the layers use them: in evaluation mode those that a gate has closed are zeros. Frozen ones
    count, as they are part of the network.
    """
    found = weights(network, frozen=True)
    return name_statistics(found, tensor_statistics([w.used.detach() for w in found]).cpu()) if found else {}


def tensor_statistics(tensors: Sequence[Tensor]) -> Tensor:
    """Of each tensor its squared norm, number of near-zero entries and number of exact zeros, (tensors, 3)."""
    rows = []
    for w in tensors:
        magnitude = w.abs()
        small, zero = magnitude < 1e-3 * magnitude.amax(), w == 0
        # an all-zero tensor has no entry below its largest, and is as sparse as can be
        rows.append(torch.stack([wide(magnitude).square().sum(), (small | zero).sum(), zero.sum()]))
    return torch.stack(rows)


def name_statistics(found: Sequence[Weight], rows: Tensor) -> dict[str, float]:
    """The statistics of `weight_statistics` from those of the tensors, (tensors, 3) on the CPU."""
    rows = rows.double()
    sizes = torch.tensor([weight.effective.tensor.numel() for weight in found], dtype=torch.float64)
    names = [f"/{weight.name}" for weight in found] + [""]
    rows = torch.cat([rows, rows.sum(0, keepdim=True)])
    sizes = torch.cat([sizes, sizes.sum(0, keepdim=True)])
    columns = {"norm": rows[:, 0].sqrt(), "sparsity": rows[:, 1] / sizes, "zeros": rows[:, 2] / sizes}
    return {
        f"{key}{name}": value
        for key, column in columns.items()
        for name, value in zip(names, column.tolist(), strict=True)
    }


def parameters(network: nn.Module) -> list[Weight]:
    """All parameters of `network`, each once, with their roles.

    One that several layers share is known by its first name, or the first under which it is a weight.

    Raises:
        ValueError: a lazy module has no parameters yet.
    """
    found: dict[int, Weight] = {}
    excluded = []
    for prefix, module in network.named_modules():
        path = f"{prefix}." if prefix else ""
        if (excludes := excluded_by(module)) is not None:
            excluded.append((path, excludes))
        for name, key, tensor, told in _own(prefix, module):
            new = Weight(path + name, tensor, module, path + key, told)
            if excluded and _is_excluded(new, excluded):
                new = new._replace(role=EXCLUDED)
            known = found.setdefault(id(tensor), new)
            if known.role != new.role and (new.role == EXCLUDED or (new.role == WEIGHT and known.role != EXCLUDED)):
                found[id(tensor)] = new
    return list(found.values())


def _is_excluded(weight: Weight, excluded: Sequence[tuple[str, Callable[[str], bool]]]) -> bool:
    names = {weight.name, weight.key}
    return any(name.startswith(path) and excludes(name[len(path) :]) for path, excludes in excluded for name in names)


def _own(prefix: str, module: nn.Module) -> Iterator[tuple[str, str, Tensor, str]]:
    """Name, key, tensor and role of a module's own parameters; those under parametrizations belong to the layer above.

    Of those that a weight is computed from, the last has its name: under weight norm the direction.
    """
    if isinstance(module, ParametrizationList) or not (module._parameters or "parametrizations" in module._modules):
        return
    inside = ".parametrizations." in f".{prefix}."  # parameters of the parametrization itself
    listed = prefix.rpartition(".")[2] + "_" if isinstance(module, nn.ParameterList | nn.ParameterDict) else ""
    made_of, kind = computed(module), own_class(module)
    parts = {key for keys in made_of.values() for key in keys}
    for name, tensor in module._parameters.items():
        if tensor is not None and name not in parts:
            if is_lazy(tensor):
                raise ValueError(
                    f"{prefix}.{name}".lstrip(".") + " has no shape yet: call the network on a batch first"
                )
            yield name, name, tensor, "parametrization" if inside else role(listed + name, tensor.shape, kind)
    for name, keys in made_of.items():
        for key in keys:
            tensor, how = attrgetter(key)(module), made(module, name)
            if key == keys[-1]:
                shape = tensor.shape if how is None or tensor.ndim > 1 else how.compute().shape
                yield name, key, tensor, role(name, shape, kind)
            else:
                yield key, key, tensor, PART
