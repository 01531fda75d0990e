"""What is left of images that were kept as JPEG."""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

# ITU-T T.81, tables K.1 and K.2
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def jpeg(x: Tensor, quality: int) -> Tensor:
    """Images (B, C, H, W) in [0, 1] after baseline JPEG of a quality from 1 to 100, as by libjpeg.

    Rounded to 256 levels. Three channels become luma and two chromas of half the size (4:2:0); of another number each
    is kept as luma. Blocks of 8 x 8 pixels go through the cosine transform, and each coefficient is rounded to a
    multiple of its entry in the standard's table, scaled by 50 / quality below 50 and by 2 - quality / 50 above.
    """
    levels = _rounded(255 * x.double())
    if x.shape[1] != 3:
        return _quantized(levels, LUMINANCE, quality).to(x) / 255
    luma, blue, red = _to_ycc(levels).split(1, 1)
    luma = _quantized(luma, LUMINANCE, quality)
    blue, red = (_quantized(_halved(part), CHROMINANCE, quality) for part in (blue, red))
    blue, red = (_doubled(part)[..., : x.shape[2], : x.shape[3]] - 128 for part in (blue, red))
    rgb = torch.cat([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], 1)
    return (_rounded(rgb).clamp(0, 255) / 255).to(x)


def _to_ycc(levels: Tensor) -> Tensor:  # JFIF
    red, green, blue = levels.split(1, 1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return _rounded(torch.cat([luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128], 1))


def _quantized(levels: Tensor, table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    height, width = levels.shape[2:]
    down, right = -height % 8, -width % 8
    padded = pad(levels, (0, right, 0, down), mode="replicate")
    rows, columns = (n // 8 for n in padded.shape[2:])
    blocks = padded.unflatten(3, (columns, 8)).unflatten(2, (rows, 8)).transpose(3, 4).flatten(4)  # (B, C, R, C', 64)
    transform, step = _cosines().to(levels), _steps(table, quality).to(levels)
    shape = blocks.shape
    blocks = blocks.flatten(1, 3) - 128
    each = (len(blocks), -1, -1)
    coefficients = _rounded(torch.bmm(blocks, transform.T.expand(each)) / step) * step
    blocks = torch.bmm(coefficients, transform.expand(each)).view(shape) + 128
    out = blocks.unflatten(4, (8, 8)).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return _rounded(out[..., :height, :width]).clamp(0, 255)


def _cosines() -> Tensor:  # (64, 64), orthogonal: a block of 8 x 8 ─► its coefficients
    k = torch.arange(8, dtype=torch.float64)
    one = torch.cos((2 * k + 1) * k[:, None] * math.pi / 16) / 2
    one[0] /= math.sqrt(2)
    return torch.kron(one, one)


def _steps(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:  # (64,)
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(table).flatten() * scale + 50) // 100).clamp(1, 255)


def _halved(x: Tensor) -> Tensor:
    """Means of 2 x 2, halves rounded down in even columns and up in odd ones, as by libjpeg."""
    x = pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    total = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
    bias = 1 + torch.arange(total.shape[3], device=x.device) % 2
    return ((total + bias) / 4).floor()


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _rounded(x: Tensor) -> Tensor:
    """To the nearest whole number, and halves away from 0 even where the sum before them was rounded off."""
    return x.sign() * (x.abs() + (0.5 + 1e-6)).floor()
