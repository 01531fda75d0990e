"""What the networks share: activations, normalizations and initializations by name; scaling layers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..core import values
from ..core.errors import near
from ..core.exact import Exact, wide
from ..core.weights import weights

NORMS: dict[str, Callable[[int, int], nn.Module]] = {
    "none": lambda *_: nn.Identity(),
    "batch": lambda features, dims: {0: nn.BatchNorm1d, 2: nn.BatchNorm2d}[dims](features),
    "layer": lambda features, dims: nn.LayerNorm(features) if dims == 0 else nn.GroupNorm(1, features),
    "group": lambda features, dims: nn.GroupNorm(groups(features), features),
    "weight": lambda *_: nn.Identity(),  # of weights, see `weight_norm`
}


def activation(name: str) -> nn.Module:
    """An activation by its class name in `torch.nn`, such as ``ReLU``. Raises ValueError if there is none."""
    known = nn.modules.activation.__all__
    if name not in known:
        raise ValueError(f"activation={name!r} is not in torch.nn{near(name, known)}")
    return getattr(nn, name)()


def norm(name: str, features: int, dims: int) -> nn.Module:
    """The layer that normalizes activations, over `dims` pixel axes where it does.

    ``batch``; ``layer``, over all channels and pixels; ``group``, over those of each of at most 8 groups; ``none``,
    and ``weight``, which is that of weights and not of activations.

    Raises:
        ValueError: any other name.
    """
    return NORMS[values.one_of(name, "norm", NORMS)](features, dims)


def groups(features: int) -> int:
    """The largest number up to 8 of equal groups of two features or more, as one alone would be normalized to zero."""
    return max((n for n in range(1, 9) if features % n == 0 and features > n), default=1)


def initialize(network: nn.Module, name: str) -> None:
    """Fills all weights by `torch.nn.init.<name>_` and sets their biases to zero; ``default`` is each layer's own.

    Raises ValueError if torch.nn.init has no such function.
    """
    if name == "default":
        return
    fill: Callable[[Tensor], Tensor] | None = getattr(nn.init, f"{name}_", None)
    if fill is None:
        known = [key[:-1] for key in dir(nn.init) if key.endswith("_") and not key.startswith("_")]
        raise ValueError(f"init={name!r} is not in torch.nn.init{near(name, known)}")
    for weight in weights(network):
        fill(weight.tensor)
        bias = getattr(weight.module, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)


class Standardize(Exact):
    """(x - mean) / std, per channel of images or per feature of tables.

    A missing value (NaN) becomes 0, the mean, where `mean` is that of a table, (F,).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        # in place, as memory for a batch of images costs; back to half precision where that is the network's
        x = (x - self.mean).div_(self.std).to(x.dtype)
        return x.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf) if self.mean.ndim == 1 else x


class Rescale(Exact):
    """mean + std · x, in float32 at least: the network's output back in the unit of the targets."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    def forward(self, x: Tensor) -> Tensor:
        return self.mean + self.std * wide(x)
