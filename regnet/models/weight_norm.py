"""Weight normalization, the parametrization that a model's `norm: weight` puts on."""

from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from ..core.parametrized import WeightNorm
from ..core.weights import weights


def normalize_weights(*networks: nn.Module) -> None:
    """Puts `WeightNorm` on all weights, which then are what they were: to be initialized before."""
    for network in networks:
        for weight in weights(network):
            register_parametrization(weight.module, weight.attribute, WeightNorm())
