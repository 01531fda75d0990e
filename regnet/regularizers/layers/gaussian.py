"""Dropout with Gaussian noise."""

import torch
from torch import Tensor

from ...core.exact import at_precision_of
from .dropout import Dropout


class GaussianDropout(Dropout):
    """y = x (1 + σ ε) with ε ~ N(0, 1) for every entry, σ² = r / (1 - r) (Srivastava et al. 2014, section 10).

    E[y] = x and Var[y] = x² r / (1 - r): the moments of `Dropout` at the same rate. Keras's `GaussianDropout`.
    """

    def noise(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)  # where 1 + σ ε is not rounded to a coarse grid
        epsilon = torch.randn(self.noise_shape(x), device=x.device, dtype=wide)
        rate = at_precision_of(epsilon, self.rate)
        return (1 + (rate / (1 - rate)).sqrt() * epsilon).to(x.dtype)
