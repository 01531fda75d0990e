"""Random numbers as a function of a key and of how many were drawn before: no generator, and no state on the device.

SplitMix64 (Steele, Lea, Flood 2014): word n of a key is mix(mix(key) + n γ). It is a dozen operations on tensors, so it
can be computed for K keys at once, recorded, and launched on a GPU without asking the host.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

GAMMA = 0x9E3779B97F4A7C15 - 2**64  # 2^64 / golden ratio, as int64 has it
FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
BITS = {torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}  # that a number in [0, 1) has room for
TRIES = 8
FEATURES = (F.dropout1d, F.dropout2d, F.dropout3d)


class Keyed:
    """What is drawn one after the other from the stream of `key`, 0-d int64, on its device."""

    def __init__(self, key: Tensor) -> None:
        self.key, self.used = key, 0

    def words(self, count: int) -> Tensor:
        """int64 (count,), uniform over all 64 bits."""
        place = torch.arange(self.used, self.used + count, device=self.key.device)
        self.used += count
        return mixed(mixed(self.key) + place * GAMMA)

    def uniform(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """u ~ U[0, 1)."""
        count = shape.numel()
        if dtype == torch.float64:
            return _shifted(self.words(count), 11).view(shape).to(dtype) * 2**-53
        lanes = self.words((count + 1) // 2).view(torch.int32)[:count].view(shape)
        bits = BITS[dtype]
        return ((lanes >> (32 - bits)) & (2**bits - 1)).to(dtype) * 2**-bits

    def normal(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """ε = √(-2 log u) cos(2π v) ~ N(0, 1) (Box and Muller 1958)."""
        count = shape.numel()
        if dtype == torch.float64:
            u, v = _shifted(self.words(2 * count), 11).view(2, *shape).to(dtype) * 2**-53
            u = u + 2**-54
        else:
            words = self.words(count).view(shape)
            u, v = ((part & 0xFFFFFFFF).float() * 2**-32 for part in (words >> 32, words))
            u = u + 2**-33  # log u is finite
        return ((-2 * u.log()).sqrt() * (2 * math.pi * v).cos()).to(dtype)

    def integers(self, low: int, high: int, shape: torch.Size) -> Tensor:
        """Whole numbers in [low, high), int64."""
        return low + (self.words(shape.numel()) & (2**63 - 1)).view(shape) % (high - low)

    def dirichlet(self, alpha: Tensor) -> Tensor:
        """Gammas as shares of their sum, (..., n): Marsaglia and Tsang 2000, in logarithms, as small ones underflow.

        The first of `TRIES` candidates that is accepted; one is in more than 95 % of cases.
        """
        shape = torch.Size([TRIES, *alpha.shape])
        d = alpha + (1 - 1 / 3)  # of Gamma(α + 1), from which Gamma(α) follows by U^(1/α)
        e = self.normal(shape, alpha.dtype)
        v = (1 + e / (9 * d).sqrt()).clamp(min=0) ** 3
        u = self.uniform(shape, alpha.dtype)
        accepted = (v > 0) & (u.log() < e * e / 2 + d * (1 - v + v.log()))
        first = accepted.int().argmax(0, keepdim=True)
        boost = (1 - self.uniform(alpha.shape, alpha.dtype)).log() / alpha
        return ((d * v.gather(0, first)[0]).log() + boost).softmax(-1)

    def of(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor | None:
        """What `func`, a function of torch that draws, would give; None of any other, which draws for itself."""
        if func is F.dropout or func in FEATURES:
            return self._dropped(func, *args, **kwargs)
        if func in (torch.rand_like, torch.randn_like):
            like, *rest = args
            draw = torch.rand if func is torch.rand_like else torch.randn
            same = {"dtype": like.dtype, "device": like.device}
            return None if rest else self.of(draw, (like.shape,), same | kwargs)
        if func is torch._sample_dirichlet and len(args) == 1 and args[0].device == self.key.device:
            return self.dirichlet(args[0])
        if func is torch.bernoulli and len(args) == 1 and not kwargs:
            (p,) = args
            drawn = self.of(torch.rand, (p.shape,), {"dtype": p.dtype, "device": p.device})
            return None if drawn is None else (drawn < p).to(p.dtype)
        if func not in (torch.rand, torch.randn, torch.randint, torch.randperm) or not args:
            return None
        kwargs = dict(kwargs)
        dtype, device = kwargs.pop("dtype", None), kwargs.pop("device", None)
        if torch.device(device or "cpu") != self.key.device or any(kwargs.pop(key, None) for key in tuple(kwargs)):
            return None  # a generator, or a tensor for the result
        if func is torch.randperm:
            return self.words(args[0]).argsort().to(dtype or torch.int64)
        if func is torch.randint:
            *bounds, size = args
            low, high = bounds if len(bounds) == 2 else (0, *bounds)
            return self.integers(low, high, torch.Size(size)).to(dtype or torch.int64)
        shape = torch.Size(args if isinstance(args[0], int) else args[0])
        dtype = dtype or torch.get_default_dtype()
        if dtype not in (*BITS, torch.float64):
            return None
        return self.uniform(shape, dtype) if func is torch.rand else self.normal(shape, dtype)

    def _dropped(
        self, func: Any, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor | None:
        if (
            not training
            or not 0 < p < 1
            or inplace
            or x.device != self.key.device
            or x.dtype not in (*BITS, torch.float64)
        ):
            return None
        if func is not F.dropout and x.ndim != 2 + FEATURES.index(func) + 1:
            return None
        shape = x.shape if func is F.dropout else torch.Size([*x.shape[:2], *(1 for _ in x.shape[2:])])
        wide = torch.promote_types(x.dtype, torch.float32)  # in which p is not rounded to a few bits
        return x * (self.uniform(shape, wide) >= p).to(x.dtype) / (1 - p)


def mixed(z: Tensor) -> Tensor:
    """A permutation of the 64-bit words that leaves no trace of their order."""
    z = (z ^ _shifted(z, 30)) * FIRST
    z = (z ^ _shifted(z, 27)) * SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """To the right, with zeros coming in."""
    return (z >> bits) & (2 ** (64 - bits) - 1)
