"""Layers: activations ─► activations, in training only; evaluation is the identity. Here those of Bernoulli noise."""

import torch
from torch import Tensor

from ...core import hyperparameters
from ...core.exact import at_precision_of
from ...core.stochastic import RandomLayer


class PenalizedLayer(RandomLayer):
    """A layer that asks for a penalty of its own, which `LayerPenalty` adds up over all of its kind."""

    def penalty(self) -> Tensor:
        raise NotImplementedError


class Dropout(RandomLayer):
    """y = x * b / (1 - r) with b ~ Bernoulli(1 - r) for every entry (Srivastava et al. 2014; inverted).

    E[y] = x and Var[y] = x² r / (1 - r). In evaluation y = x.
    """

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("rate", hyperparameters.rate(rate))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.noise(x) if self.training else x

    def noise(self, x: Tensor) -> Tensor:
        """The random factor, which is broadcast over x."""
        return inverted_bernoulli(self.noise_shape(x), self.rate, x.dtype)

    def noise_shape(self, x: Tensor) -> torch.Size:
        """One draw for every entry of this shape, which is broadcast over x."""
        return x.shape

    def extra_repr(self) -> str:
        return f"rate={self.rate.item():g}"


class SpatialDropout(Dropout):
    """Dropout of whole feature maps: one draw per sample and channel (Tompson et al. 2015)."""

    def noise_shape(self, x: Tensor) -> torch.Size:  # (B, C, ...)
        return torch.Size([*x.shape[:2], *(1 for _ in x.shape[2:])])


class AlphaDropout(Dropout):
    """y = s (m x + (1 - m) α'), m = b / q, b ~ Bernoulli(q), q = 1 - r (Klambauer et al. 2017, section 2).

    Drops to α' = -1.7581, where SELU saturates, and scales by s = sqrt(q / (1 + r α'²)), so that inputs of mean 0 and
    variance 1 keep both. It is the paper's a (x b + α' (1 - b)) + c with a = s / q and c = -a r α'; torch's and
    Keras's `AlphaDropout`.
    """

    SATURATION = -1.0507009873554805 * 1.6732632423543772  # -λα of SELU

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        rate = at_precision_of(x, self.rate)
        m, scale = self.noise(x), ((1 - rate) / (1 + rate * self.SATURATION**2)).sqrt()
        return (m * x + (1 - m) * self.SATURATION) * scale.to(x.dtype)


REAL = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}


def inverted_bernoulli(shape: torch.Size, rate: Tensor, dtype: torch.dtype) -> Tensor:
    """b / (1 - r) with b ~ Bernoulli(1 - r), on the device of `rate` (0-d, and never rounded to `dtype`).

    On the CPU the generator dominates, so four draws are cut from each 64-bit number: `rate` is rounded to
    a multiple of 2^-16, and the scale is that of the rounded rate, so that the mean stays exactly one.
    Of a complex `dtype` it is real.
    """
    dtype = REAL.get(dtype, dtype)
    if rate.device.type != "cpu":
        draws = torch.rand(shape, device=rate.device, dtype=torch.float32)
        return (draws >= rate).to(dtype).div_(1 - rate)
    count = shape.numel()
    lanes = torch.randint(-(2**63), 2**63 - 1, ((count + 3) // 4,), dtype=torch.int64).view(torch.int16)
    threshold = (rate.double() * 2**16).round().clamp(max=2**16 - 1)
    wide = torch.promote_types(dtype, torch.float32)  # which holds 16 bits exactly
    # lanes >= threshold in whole numbers, as 0 or 1: an eighth of the time of a comparison and its conversion
    keep = lanes[:count].view(shape).to(wide).sub_((threshold - 2**15 - 1).to(wide)).clamp(0, 1).to(dtype)
    return keep.mul_((1 / (1 - threshold / 2**16)).to(dtype))
