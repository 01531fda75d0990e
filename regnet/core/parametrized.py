"""Weights that are computed from other parameters: by torch's parametrizations, and by the hooks that it had before."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm as SpectralNormHook
from torch.nn.utils.weight_norm import WeightNorm as WeightNormHook

NOTED = "_regnet_frozen"  # the attribute with the names that `note_frozen` found


class OnTop:
    """A parametrization that acts on a weight which stays the weight: its input is what is penalized and constrained.

    Any other parametrization makes the weight: its output is.
    """


class WeightNorm(nn.Module):
    """w = g v / ||v|| for the incoming weights of every unit (Salimans and Kingma 2016, equation 2).

    The function and the state of `torch.nn.utils.parametrizations.weight_norm`, whose kernel cannot be stacked by
    vmap. What is penalized, decayed or constrained is w.
    """

    def forward(self, g: Tensor, v: Tensor) -> Tensor:  # (units, 1...), (units, fan-in...)
        return v * (g / _norm(v, range(1, v.ndim)))

    def right_inverse(self, w: Tensor) -> tuple[Tensor, Tensor]:
        return _norm(w, range(1, w.ndim)), w


class Made(NamedTuple):
    """How a weight is computed.

    Args:
        by: the class that computes it.
        parts: the tensors it is computed from.
        compute: gives the weight; it changes no state, and can be differentiated.
        is_weight_norm: whether the parts are g and v of w = g v / ||v||.
        trained: the parts that are not frozen.
    """

    by: str
    parts: Sequence[Tensor]
    compute: Callable[[], Tensor]
    is_weight_norm: bool
    trained: Sequence[Tensor]

    def write(self, w: Tensor) -> None:
        """Gives the parts values that make the weight `w`. ||v|| stays, so that steps on v reach as far as before.

        Where a unit of `w` is zero, g becomes zero and v stays: its gradient can bring the unit back.

        Raises:
            ValueError: it is not known which ones would.
        """
        if not self.is_weight_norm:
            raise ValueError(f"is made by {self.by}, through which another value cannot be given to it")
        g, v = self.parts
        norm, length = _norm(w, _axes(g, v)), _norm(v, _axes(g, v))
        zero = norm == 0
        v.copy_(torch.where(zero, v, w * (length / torch.where(zero, 1, norm))))
        g.copy_(norm.view_as(g))


def chains(module: nn.Module) -> dict[str, ParametrizationList]:
    """The parametrizations of `module`, by the attributes that they make."""
    found = module._modules.get("parametrizations")
    every = found.items() if isinstance(found, nn.ModuleDict) else ()
    return {attribute: chain for attribute, chain in every if isinstance(chain, ParametrizationList)}


def made(module: nn.Module, attribute: str) -> Made | None:
    """How `attribute` of `module` is computed; None where it is a parameter, or one with layers `OnTop`."""
    chain = chains(module).get(attribute)
    if chain is not None:
        layers = list(takewhile(lambda layer: not isinstance(layer, OnTop), chain))
        if not layers:
            return None
        parts = [getattr(chain, name) for name in _originals(chain)]
        norm = len(layers) == 1 and isinstance(layers[0], WeightNorm | parametrizations._WeightNorm)
        trained = [part for name, part in zip(_originals(chain), parts, strict=True) if is_trained(chain, name, part)]
        return Made(type(layers[0]).__name__, parts, lambda: _composed(layers, parts), norm, trained)
    for hook in _hooks(module):
        if _attribute(hook) == attribute:
            parts = [getattr(module, name) for name in _hooked(hook)]
            norm = isinstance(hook, WeightNormHook)
            trained = [part for name, part in zip(_hooked(hook), parts, strict=True) if is_trained(module, name, part)]
            return Made(_title(hook), parts, partial(_computed, hook, module), norm, trained)
    return None


def is_trained(module: nn.Module, name: str, tensor: Tensor) -> bool:
    """Whether the parameter `name` of `module`, now `tensor`, is not frozen.

    What `functional_call` puts in its place does not say so: it counts as trained, unless `note_frozen` knows better.
    """
    noted = vars(module).get(NOTED)
    if noted is not None:
        return name not in noted
    return tensor.requires_grad or not isinstance(tensor, nn.Parameter)


def trained(network: nn.Module) -> list[Tensor]:
    """The parameters that are not frozen, see `is_trained`."""
    own = ((module, *one) for module in network.modules() for one in module._parameters.items())
    return [tensor for module, name, tensor in own if tensor is not None and is_trained(module, name, tensor)]


def note_frozen(network: nn.Module) -> None:
    """What is frozen in `network` now counts as frozen from here on, whatever `functional_call` puts in its place."""
    for module in network.modules():
        frozen = {
            name for name, tensor in module._parameters.items() if tensor is not None and not tensor.requires_grad
        }
        vars(module)[NOTED] = frozen


def computed(module: nn.Module) -> dict[str, list[str]]:
    """The attributes of `module` that are computed, with the names of the parameters each is computed from."""
    if not module._forward_pre_hooks and "parametrizations" not in module._modules:
        return {}
    found = {}
    for attribute, chain in chains(module).items():
        found[attribute] = [f"parametrizations.{attribute}.{n}" for n in _originals(chain) if n in chain._parameters]
    for hook in _hooks(module):
        found[_attribute(hook)] = [name for name in _hooked(hook) if name in module._parameters]
    return found


def normalized(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with w = g v / ||v|| in the place of v, wherever it has both."""
    found = dict(state)
    for name, v in state.items():
        for ends in (("original1", "original0"), ("_v", "_g")):
            g = state.get(name.removesuffix(ends[0]) + ends[1]) if name.endswith(ends[0]) else None
            if g is not None:
                found[name] = v * (g / _norm(v, _axes(g, v)))
    return found


def _originals(chain: ParametrizationList) -> list[str]:
    return ["original"] if chain.is_tensor else [f"original{i}" for i in range(chain.ntensors)]


def _composed(layers: Sequence[nn.Module], parts: Sequence[Tensor]) -> Tensor:
    with _still(layers):
        weight = layers[0](*parts)
        for layer in layers[1:]:
            weight = layer(weight)
    return weight


@contextmanager
def _still(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Spectral norm makes a step of its power iteration at each call in training mode."""
    training = [module for layer in layers for module in layer.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _hooks(module: nn.Module) -> list[WeightNormHook | SpectralNormHook | BasePruningMethod]:
    kinds = (WeightNormHook, SpectralNormHook, BasePruningMethod)
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, kinds)]


def _attribute(hook: WeightNormHook | SpectralNormHook | BasePruningMethod) -> str:
    return hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name


def _title(hook: WeightNormHook | SpectralNormHook | BasePruningMethod) -> str:
    return f"torch.nn.utils.{'prune' if isinstance(hook, BasePruningMethod) else type(hook).__module__.split('.')[-1]}"


def _hooked(hook: WeightNormHook | SpectralNormHook | BasePruningMethod) -> list[str]:
    suffixes = ("_g", "_v") if isinstance(hook, WeightNormHook) else ("_orig",)
    return [_attribute(hook) + suffix for suffix in suffixes]


def _computed(hook: WeightNormHook | SpectralNormHook | BasePruningMethod, module: nn.Module) -> Tensor:
    if isinstance(hook, BasePruningMethod):
        return hook.apply_mask(module)
    if isinstance(hook, SpectralNormHook):
        return hook.compute_weight(module, do_power_iteration=False)
    return hook.compute_weight(module)


def _axes(g: Tensor, v: Tensor) -> list[int]:
    """Those of v along which g has one number."""
    return [axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1]


def _norm(w: Tensor, axes: Sequence[int]) -> Tensor:
    """||w|| along the axes, which stay with one entry, in float32 at least."""
    wide = torch.promote_types(w.dtype, torch.float32)
    return torch.linalg.vector_norm(w, dim=tuple(axes), keepdim=True, dtype=wide).to(w.dtype)
