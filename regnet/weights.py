"""Which parameters count as weights: one definition for penalties, constraints, decay and sparsity."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor, nn

NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Select = str | Sequence[str] | None


class Weight(NamedTuple):
    """A parameter, its dotted name, and the module that owns it."""

    name: str
    tensor: Tensor
    module: nn.Module

    @property
    def units(self) -> Tensor:
        """A view (groups, units, fan-in...): one slice per output unit of a Linear, Conv or ConvTranspose."""
        if self.tensor.ndim < 2:  # a bias or scale: one number for each unit
            return self.tensor.view(1, -1, 1)
        if isinstance(self.module, TRANSPOSED):  # (in, out/groups, k...)
            return self.tensor.unflatten(0, (self.module.groups, -1)).transpose(1, 2)
        return self.tensor.unsqueeze(0)  # (1, out, in, k...)


def weights(network: nn.Module, select: Select = None) -> list[Weight]:
    """The weights of `network`: parameters of ndim >= 2 outside normalization layers, each once.

    `select` asks for others: glob patterns of parameter names (``"*.bias"``, ``"head.*"``), which take
    whatever they match, and names of module classes (``"Conv2d"``), which take the weights of those
    modules, or scale and shift where the class is a normalization.

    Raises:
        ValueError: a pattern of `select` matches no parameter of `network`.
    """
    parameters = list(_parameters(network))
    if select is None:
        return [weight for weight in parameters if _is_weight(weight)]
    patterns = [select] if isinstance(select, str) else list(select)
    idle = [pattern for pattern in patterns if not any(_matches(weight, pattern) for weight in parameters)]
    if idle or not patterns:
        names = ", ".join(weight.name for weight in parameters)
        raise ValueError(f"select={', '.join(idle)!r} matches no parameter; the network has {names}")
    return [weight for weight in parameters if any(_matches(weight, pattern) for pattern in patterns)]


def weight_statistics(network: nn.Module) -> dict[str, float]:
    """Norm and sparsity of each weight tensor and of all of them together.

    ``norm``: ||w||_2. ``sparsity``: the share of entries with |w| < 1e-3 max|w| of their own tensor.
    ``zeros``: the share of exact zeros. Keys are ``norm/<name>`` for each tensor and ``norm`` for all.
    """
    found = weights(network)
    return name_statistics(found, tensor_statistics([w.tensor.detach() for w in found]).cpu()) if found else {}


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
        for name, tensor in module._parameters.items():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                yield Weight(f"{prefix}.{name}" if prefix else name, tensor, module)


def _is_weight(weight: Weight) -> bool:
    return weight.tensor.ndim >= 2 and not isinstance(weight.module, NORMALIZATIONS)


def _matches(weight: Weight, pattern: str) -> bool:
    if type(weight.module).__name__ == pattern:
        return weight.tensor.ndim >= 2 or isinstance(weight.module, NORMALIZATIONS)
    return fnmatchcase(weight.name, pattern)
