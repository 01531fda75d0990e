"""Penalties of weights as matrices (out, in k), one for each group of a convolution: their singular values."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core import values
from ...core.weights import Select, Weight
from .weights import WeightPenalty, total

FORMS = ("gram", "rows", "columns")


class Orthogonal(WeightPenalty):
    """λ Σ_W ||W Wᵀ - I||²_F, of Wᵀ W where that is smaller (Bansal et al. 2018, section 3.1, "SO").

    The two differ by the constant |rows - columns|, so that 0 is reached.

    Args:
        form: ``gram`` is that; ``rows`` and ``columns`` only ask for right angles, whatever the norms: the mean
            |cos| of a pair, as Keras's `OrthogonalRegularizer`; rows are output units here, and columns there.
        strength, select, scale: as of every `WeightPenalty`.
    """

    def __init__(
        self,
        strength: float,
        form: str = "gram",
        select: Select = None,
        scale: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(strength, select, scale)
        self.form = values.one_of(form, "form", FORMS)

    def measure(self, found: list[Weight]) -> Tensor:
        of = _off_identity if self.form == "gram" else _cosines
        return total(of(m.mT if self.form == "columns" else m).sum() for m in map(_matrices, found))


class SpectralNorm(WeightPenalty):
    """λ Σ_W σ_max(W)² (Yoshida and Miyato 2017; no ½).

    Exact, as the largest eigenvalue of the smaller Gram matrix, where they take a step of power iteration.
    """

    def measure(self, found: list[Weight]) -> Tensor:
        return total(_spectrum(torch.linalg.eigvalsh, _gram(_matrices(w)))[..., -1].sum() for w in found)


class NuclearNorm(WeightPenalty):
    """λ Σ_W ||W||_*, the sum of the singular values: the convex envelope of the rank (Fazel et al. 2001)."""

    def measure(self, found: list[Weight]) -> Tensor:
        return total(_spectrum(torch.linalg.svdvals, _matrices(w)).sum() for w in found)


def _matrices(weight: Weight) -> Tensor:
    """(groups, out, in k)"""
    return weight.blocks.flatten(2)


def _spectrum(values: Callable[[Tensor], Tensor], matrices: Tensor) -> Tensor:  # (..., m, n) ─► (..., values)
    """NaN for a matrix that is not finite, where LAPACK would raise an error, and so end runs of the same pack too."""
    finite = matrices.isfinite().flatten(-2).all(-1)[..., None]
    return values(torch.where(finite[..., None], matrices, 0)).where(finite, torch.nan)


def _gram(matrices: Tensor) -> Tensor:
    """W Wᵀ or Wᵀ W, whichever is smaller; their eigenvalues other than zero are the same. Of complex W, Wᴴ for Wᵀ."""
    short = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mH
    return _products(short)


def _products(matrices: Tensor) -> Tensor:
    """Of all pairs of rows; autocast would take them in half precision."""
    with torch.autocast(matrices.device.type, enabled=False):
        return matrices @ matrices.mH


def _off_identity(matrices: Tensor) -> Tensor:
    gram = _gram(matrices)
    off = gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return (off * off.conj()).real.sum((-2, -1))


def _cosines(matrices: Tensor) -> Tensor:
    unit = F.normalize(matrices, dim=-1, eps=1e-6)
    cosines = _products(unit).triu(1)
    count = matrices.shape[-2]
    return cosines.abs().sum((-2, -1)) / max(count * (count - 1) / 2, 1)
