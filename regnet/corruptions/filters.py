"""Linear filters of images, whose bits do not depend on the size of the batch: a product of matrices for each image."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad


def separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """R x Cᵀ of each channel: x (..., H, W), R (h, H), C (w, W) ─► (..., h, w)."""
    flat = x.flatten(0, -3)
    rows, columns = rows.to(x), columns.to(x).T
    out = torch.bmm(torch.bmm(rows.expand(len(flat), -1, -1), flat), columns.expand(len(flat), -1, -1))
    return out.unflatten(0, x.shape[:-2])


def gaussian(x: Tensor, sigma: float, border: str = "nearest", truncate: float = 4.0) -> Tensor:
    """x (..., H, W) convolved with a Gaussian of the standard deviation `sigma`, in pixels, as by scipy.ndimage.

    Args:
        border: what lies beyond it: the ``nearest`` pixel, the image mirrored by ``reflect`` (d c b a | a b c d), or a
            ``constant`` 0.
        truncate: the kernel reaches so many standard deviations.
    """
    rows, columns = (_gaussian_matrix(n, sigma, border, truncate) for n in x.shape[-2:])
    return separable(x, rows, columns)


def _gaussian_matrix(n: int, sigma: float, border: str, truncate: float) -> Tensor:  # (n, n)
    reach = int(truncate * sigma + 0.5)
    offset = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (offset.double() / max(sigma, 1e-9)).square())
    kernel = (kernel / kernel.sum()).expand(n, -1)
    target = torch.arange(n)[:, None].expand_as(kernel)
    source = target + offset
    if border == "constant":
        kernel = kernel * ((source >= 0) & (source < n))
    if border == "reflect":
        source = source % (2 * n)
        source = torch.minimum(source, 2 * n - 1 - source)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    return matrix.index_put_((target, source.clamp(0, n - 1)), kernel, accumulate=True)


def convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """x (..., H, W) convolved with a symmetric `kernel` (2m + 1, 2m + 1), border pixels mirrored (d c b | a b c d)."""
    m = len(kernel) // 2
    height, width = x.shape[-2:]
    rows, columns = (_mirrored(torch.arange(-m, n + m), n) for n in (height, width))
    target = torch.arange(width).repeat_interleave(2 * m + 1)
    source = columns.unfold(0, 2 * m + 1, 1).flatten()
    identity, out = torch.eye(height), torch.zeros_like(x)
    for i, line in enumerate(kernel):
        along = torch.zeros(width, width, dtype=torch.float64)
        along.index_put_((target, source), line.repeat(width), accumulate=True)
        out += separable(x, identity[rows[i : i + height]], along)
    return out


def _mirrored(place: Tensor, n: int) -> Tensor:
    place = place % (2 * n - 2)
    return torch.minimum(place, 2 * n - 2 - place)


def zoom_matrix(n: int, factor: float) -> Tensor:
    """(n, n) that enlarges n pixels about their middle, `factor` >= 1 times, by linear interpolation."""
    middle = (n - 1) / 2
    source = (torch.arange(n, dtype=torch.float64) - middle) / factor + middle
    return (1 - (source[:, None] - torch.arange(n)).abs()).clamp(min=0)


def zoom(x: Tensor, factor: float) -> Tensor:
    """x (..., H, W) enlarged about its middle, `factor` >= 1 times."""
    rows, columns = (zoom_matrix(n, factor) for n in x.shape[-2:])
    return separable(x, rows, columns)


def motion(x: Tensor, radius: float, sigma: float, angle: Tensor) -> Tensor:
    """Each image blurred along a line, as by ImageMagick's motion blur.

    Σ_k w_k x(p + round(k (cos φ, sin φ))), w_k ∝ exp(-k² / 2σ²), k = 0 ... 2⌈radius⌉; pixels beyond the border are
    those nearest to them, and weights below a thousandth of the sum are left out.

    Args:
        x: (B, C, H, W).
        angle: φ in radians, (B,).
    """
    k = torch.arange(2 * math.ceil(radius) + 1, dtype=torch.float64)
    weight = torch.exp(-k.square() / (2 * sigma * sigma))
    k = k[weight >= 1e-3 * weight.sum()]
    weight = weight[: len(k)] / weight[: len(k)].sum()
    reach = len(k) - 1
    padded = pad(x, (reach,) * 4, mode="replicate")
    width = padded.shape[3]
    h, w = (torch.arange(n, device=x.device) + reach for n in x.shape[2:])
    here = (h[:, None] * width + w).flatten()  # (H W,)
    k, angle = k.to(x.device), angle.double()[:, None]
    right, down = ((k * part - 0.5).ceil().long() for part in (angle.cos(), angle.sin()))  # (B, K)
    flat, out = padded.flatten(2), torch.zeros_like(x).flatten(2)
    for i, share in enumerate(weight.tolist()):
        place = here + (down[:, i] * width + right[:, i])[:, None]  # (B, H W)
        out += share * flat.gather(2, place[:, None].expand_as(out))
    return out.view_as(x)
