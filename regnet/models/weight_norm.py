"""Weight normalization, the parametrization that a model's `norm: weight` puts on."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from ..weights import weights


class WeightNorm(nn.Module):
    """w = g v / ||v|| for the incoming weights of every unit (Salimans and Kingma 2016, equation 2).

    The function and the state of `torch.nn.utils.parametrizations.weight_norm`, whose kernel cannot be stacked by
    vmap. The weight's place is taken by v: what is penalized or constrained is v, whose length does not matter.
    """

    def forward(self, g: Tensor, v: Tensor) -> Tensor:  # (units, 1...), (units, fan-in...)
        return v * (g / _norm(v))

    def right_inverse(self, w: Tensor) -> tuple[Tensor, Tensor]:
        return _norm(w), w


def normalize_weights(*networks: nn.Module) -> None:
    """Puts `WeightNorm` on all weights, which then are what they were: to be initialized before."""
    for network in networks:
        for weight in weights(network):
            register_parametrization(weight.module, weight.name.rpartition(".")[2], WeightNorm())


def _norm(w: Tensor) -> Tensor:
    wide = torch.promote_types(w.dtype, torch.float32)
    fan_in = tuple(range(1, w.ndim))
    return torch.linalg.vector_norm(w, dim=fan_in, keepdim=True, dtype=wide).to(w.dtype)
