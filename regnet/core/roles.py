"""Whether a parameter is a weight: one that multiplies inputs; and if not, what it is."""

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
LAYERS = (
    *(nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.Embedding, nn.EmbeddingBag),
    *(nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention),
)
NORM = re.compile(r"(?<!Weight)(?<!Spectral)Norm(\dd)?$")  # LayerNorm2d; with weight or spectral norm they are layers
WEIGHT = "weight"
NAMED_WEIGHT = {"weight", "weights", "kernel"}
NAMED_TABLE = {
    *("bias", "biases", "rel", "relative", "pos", "position", "positions", "positional", "pe"),
    *("token", "tokens", "cls", "query", "queries", "register", "registers", "prompt", "prompts", "latent", "latents"),
    *("gamma", "beta", "scale", "scales", "shift"),
}
TELLS = ("no_weight_decay", "no_weight_decay_keywords")


@lru_cache(4096)  # as it is asked at each step
def role(name: str, shape: Sequence[int], kind: type) -> str:
    """``weight``, or why the parameter is none.

    ``bias``, ``vector``  it has fewer than two axes
    ``norm``              it is of a normalization layer
    ``weight``            what a layer of torch.nn that multiplies (Linear, convolutions, Embedding, recurrent layers,
                          attention) calls a weight. Of any other module the shape decides, then the name:
    ``broadcast``         all axes but one, or the first of three or more, are 1: tokens, tables of positions, scales;
                          but a matrix that is called a weight is one
    ``table``             its name says that it is added or joined, such as ``relative_position_bias_table``
    ``weight``            any other

    Args:
        name: the last part of its name.
        shape: its shape, or that of the weight that is computed from it.
        kind: the class of the module that owns it.
    """
    if issubclass(kind, NORMALIZATIONS) or NORM.search(kind.__name__):
        return "norm"
    words = _words(name)
    if len(shape) < 2:
        return "bias" if words & {"bias", "biases"} else "vector"
    if issubclass(kind, LAYERS) and WEIGHT in words:
        return WEIGHT
    return _role_of_any(words, shape)


def _role_of_any(words: set[str], shape: Sequence[int]) -> str:
    named = words == {"w"} or not words.isdisjoint(NAMED_WEIGHT)  # in rel_pos_w the letter means width
    line = sum(size > 1 for size in shape) <= 1
    if line and not (named and len(shape) == 2):
        return "broadcast"
    if named:
        return WEIGHT
    if shape[0] == 1:
        return "broadcast"
    return WEIGHT if words.isdisjoint(NAMED_TABLE) else "table"


def excluded_by(module: nn.Module) -> Callable[[str], bool] | None:
    """What a network itself takes out of weight decay, by names from there: the convention of timm and of Swin.

    ``no_weight_decay()`` gives names or globs, and ``no_weight_decay_keywords()`` parts of names.
    """
    methods = _methods(own_class(module))
    if not methods:
        return None
    patterns, parts = (list(getattr(module, name)() or ()) if name in methods else [] for name in TELLS)

    def excluded(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns) or any(part in name for part in parts)

    return excluded


def own_class(module: nn.Module) -> type:
    """Its class, without the one that torch makes for each parametrized module."""
    # to look for parametrizations as torch does takes longer
    return type_before_parametrizations(module) if "parametrizations" in module._modules else type(module)


@lru_cache(4096)
def _methods(kind: type) -> list[str]:
    return [name for name in TELLS if hasattr(kind, name)]


def _words(name: str) -> set[str]:
    """``relativePosition_bias2`` ─► relative, position, bias."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
