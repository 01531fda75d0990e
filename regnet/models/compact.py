"""A sparse network made smaller: fewer units, equal outputs in evaluation mode."""

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ..core.parametrized import chains
from . import CNN, MLP

Sized = nn.Linear | nn.Conv2d
INPUTS = {nn.Linear: "in_features", nn.Conv2d: "in_channels"}  # the attributes with their numbers
OUTPUTS = {
    nn.Linear: "out_features",
    nn.Conv2d: "out_channels",
    nn.BatchNorm1d: "num_features",
    nn.BatchNorm2d: "num_features",
}
SIZED = (nn.Linear, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)  # a constant stays what it is
MIXING = ("GLU", "MultiheadAttention", "Softmax", "Softmax2d", "Softmin", "LogSoftmax")  # entries with each other
POINTWISE = tuple(getattr(nn, name) for name in nn.modules.activation.__all__ if name not in MIXING)


@torch.no_grad()
def compact(network: nn.Module) -> nn.Sequential:
    """A smaller network with the outputs of `network` in evaluation mode; `network` stays as it is.

    Units that send nothing (all outgoing weights are zero) go. Units that receive nothing (all incoming weights are
    zero) are constants c = act(norm(bias)), and go into the next layer's bias; into a padded convolution's only
    where c = 0, as its padding is. Then others may send or receive nothing, and it begins again. One unit of each
    layer is kept.

    Args:
        network: regnet's MLP or CNN, or a chain of Linear and Conv2d (without groups) with BatchNorm, activations,
            dropout, pooling and Flatten between them. Parametrized weights become plain ones, as they are in
            evaluation mode.

    Raises:
        ValueError: the network is no such chain.
    """
    network = copy.deepcopy(network).eval()
    for module in filter(is_parametrized, list(network.modules())):
        _make_plain(module)
    layers: list[Any] = [layer for layer in _chain(network) if type(layer) is not nn.Identity]
    places = [i for i, layer in enumerate(layers) if type(layer) in SIZED]
    parts = [(layers[i], layers[i + 1 : j], layers[j]) for i, j in pairwise(places)]
    fixed = [layer for layer in layers if type(layer) in SIZED + NORMS]
    if len({id(layer) for layer in fixed}) < len(fixed):
        raise ValueError("a layer that is used in two places cannot be made smaller")
    for part in parts:
        _check(*part)
    while sum(_shrink(*part) for part in parts):
        pass
    return nn.Sequential(*layers).eval()


def _make_plain(module: nn.Module) -> None:
    """Parametrized weights become parameters with their present values.

    By hand, as `remove_parametrizations` changes the class that a copied module shares with its original.
    """
    used = {name: getattr(module, name) for name in chains(module)}
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    for name, tensor in used.items():
        module.register_parameter(name, nn.Parameter(tensor.clone()))


def _chain(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a network in the order in which an input goes through them."""
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"what the hooks of {type(module).__name__} do is not known")
    forward = type(module).forward
    parts: list[nn.Module]
    if isinstance(module, MLP) and forward is MLP.forward:
        parts = [nn.Flatten(), module.input_dropout, module.hidden, module.head]
    elif isinstance(module, CNN) and forward is CNN.forward:
        pooling = [nn.AdaptiveAvgPool2d(1)] if module.global_pooling else []
        parts = [module.input_dropout, module.stages, *pooling, module.head]
    elif isinstance(module, nn.Sequential) and forward is nn.Sequential.forward:
        parts = list(module)
    elif not any(True for _ in module.children()):
        yield module
        return
    else:
        raise ValueError(f"{type(module).__name__} is no chain of layers that is known: Sequential, MLP and CNN are")
    for part in parts:
        yield from _chain(part)


def _check(first: Sized, between: Sequence[nn.Module], second: Sized) -> None:
    """Raises ValueError where it is not known which units of `first` the features of `second` are."""
    for layer in between:
        known = type(layer) in (nn.Flatten, *NORMS, *POOLS, *POINTWISE) or _is_idle(layer)
        averaged = isinstance(layer, nn.AvgPool2d) and (layer.padding not in (0, (0, 0)) or layer.divisor_override)
        slopes = isinstance(layer, nn.PReLU) and layer.num_parameters > 1
        unmeasured = isinstance(layer, NORMS) and layer.running_mean is None
        if not known or averaged or slopes or unmeasured:
            raise ValueError(f"units cannot be taken out before {layer}")
    for layer in (first, second):
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            raise ValueError(f"units of {layer} cannot be taken out: it has groups")
    flattened = [(layer.start_dim, layer.end_dim) for layer in between if isinstance(layer, nn.Flatten)]
    kinds = type(first), type(second)
    if flattened != [(1, -1)] * (kinds == (nn.Conv2d, nn.Linear)) or kinds == (nn.Linear, nn.Conv2d):
        raise ValueError(f"what {second} takes from {first} is not known")


def _is_idle(layer: nn.Module) -> bool:
    """Whether it acts in training only, as all of regnet's own do."""
    ours = type(layer).__module__.startswith("regnet.regularizers")
    return ours or isinstance(layer, nn.modules.dropout._DropoutNd)


def _shrink(first: Sized, between: Sequence[nn.Module], second: Sized) -> bool:
    """Takes units out of `first`; returns whether there were any."""
    units = len(first.weight)
    block = second.weight.shape[1] // units  # features of a unit: the pixels of a channel behind Flatten
    weight = second.weight.flatten(2).sum(2) if second.weight.ndim > 2 else second.weight  # (out, units * block)
    constants = _constants(first, between, block)  # (units * block,)
    silent = (second.weight == 0).transpose(0, 1).reshape(units, -1).all(1)
    constant = (first.weight == 0).flatten(1).all(1)
    if isinstance(second, nn.Conv2d) and second.padding_mode == "zeros" and second.padding not in ("valid", (0, 0)):
        constant &= constants == 0
    gone = silent | constant
    if gone.all():
        gone[0] = False
    if not gone.any():
        return False
    moved = (gone & ~silent).repeat_interleave(block)
    if (constants[moved] != 0).any():
        shift = weight[:, moved] @ constants[moved]
        second.bias = nn.Parameter(shift if second.bias is None else second.bias + shift)
    keep = ~gone
    _take(first, keep)
    for layer in between:
        if isinstance(layer, nn.Flatten):
            keep = keep.repeat_interleave(block)
        elif isinstance(layer, NORMS):
            _take(layer, keep)
    _take_inputs(second, keep)
    return True


def _constants(first: Sized, between: Sequence[nn.Module], block: int) -> Tensor:
    """What reaches the next layer from units that receive nothing."""
    c = first.weight.new_zeros(len(first.weight)) if first.bias is None else first.bias
    for layer in between:
        if isinstance(layer, nn.Flatten):
            c = c.repeat_interleave(block)
        elif isinstance(layer, NORMS):
            c = F.batch_norm(c[None], layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)[0]
        elif isinstance(layer, POINTWISE):
            c = layer(c.clone())  # which may act in place
    return c


def _take(layer: nn.Module, keep: Tensor) -> None:
    """Only the units, or features of a norm, of `keep` stay."""
    for name, tensor in layer.state_dict(keep_vars=True).items():
        if tensor.ndim:  # not the count of batches
            kept = tensor[keep]
            setattr(layer, name, nn.Parameter(kept) if isinstance(tensor, nn.Parameter) else kept)
    setattr(layer, OUTPUTS[type(layer)], int(keep.sum()))


def _take_inputs(layer: Sized, keep: Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight[:, keep])
    setattr(layer, INPUTS[type(layer)], int(keep.sum()))
