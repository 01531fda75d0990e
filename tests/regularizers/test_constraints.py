"""What the constraints are equal to: Keras's formulas, SciPy's polar factor, NumPy's singular values."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from regnet.core.weights import weights
from regnet.regularizers import MinMaxNorm, NonNegative, OrthogonalProjection, SpectralClip, UnitNorm

EPSILON = 1e-7  # Keras's


def keras_min_max(w, axis, least, most, rate):
    norms = np.sqrt((w**2).sum(axis, keepdims=True))
    desired = rate * np.clip(norms, least, most) + (1 - rate) * norms
    return w * desired / (EPSILON + norms)


def keras_unit(w, axis):
    return w / (EPSILON + np.sqrt((w**2).sum(axis, keepdims=True)))


CASES = [
    (MinMaxNorm(0.9, 1.5), lambda w, axis: keras_min_max(w, axis, 0.9, 1.5, 1.0)),
    (MinMaxNorm(0.9, 1.5, rate=0.3), lambda w, axis: keras_min_max(w, axis, 0.9, 1.5, 0.3)),
    (UnitNorm(), keras_unit),
    (NonNegative(), lambda w, axis: w * (w >= 0)),
]


@pytest.mark.parametrize(("constraint", "keras"), CASES)
@pytest.mark.parametrize(
    ("layer", "to_keras"), [(nn.Linear(7, 20), (1, 0)), (nn.Conv2d(2, 20, 2), (2, 3, 1, 0))], ids=["dense", "conv"]
)
def test_against_keras(constraint, keras, layer, to_keras):
    """Keras's axes: 0 for Dense (in, out), (0, 1, 2) for Conv2D (k, k, in, out)."""
    nn.init.normal_(layer.weight, std=0.45)
    w = layer.weight.detach().numpy().transpose(to_keras).copy()
    axis = tuple(range(w.ndim - 1))
    norms = np.sqrt((w**2).sum(axis))
    assert norms.min() < 0.9
    assert ((norms > 0.9) & (norms < 1.5)).any()
    assert norms.max() > 1.5
    constraint(layer)
    np.testing.assert_allclose(layer.weight.detach().numpy().transpose(to_keras), keras(w, axis), rtol=1e-5)


@pytest.mark.parametrize("constraint", [MinMaxNorm(0.5, 1.0), UnitNorm()])
def test_a_unit_without_weights_stays(constraint):
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight[0] = 0
    constraint(layer)
    assert torch.equal(layer.weight[0], torch.zeros(3))
    assert layer.weight[1].norm() > 0.4


def matrices(layer):
    (weight,) = weights(layer)
    return weight.units.detach().flatten(2).double().numpy()


@pytest.mark.parametrize(
    "layer", [nn.Linear(6, 4), nn.Linear(4, 6), nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2)]
)
def test_the_polar_factor_and_clipped_singular_values(layer):
    layer = layer.double()
    nn.init.uniform_(layer.weight, -0.5, 0.5)
    before = matrices(layer).copy()
    SpectralClip(0.5)(layer)
    for got, w in zip(matrices(layer), before, strict=True):
        u, s, vh = np.linalg.svd(w, full_matrices=False)
        assert s.max() > 0.5
        np.testing.assert_allclose(got, (u * s.clip(max=0.5)) @ vh, atol=1e-12)
    OrthogonalProjection()(layer)  # the clipped matrix has the same polar factor
    for got, w in zip(matrices(layer), before, strict=True):
        np.testing.assert_allclose(got, scipy.linalg.polar(w)[0], atol=1e-12)


def test_half_precision_is_projected_in_float32():
    layer = nn.Linear(30, 4).to(torch.bfloat16)
    OrthogonalProjection()(layer)
    w = layer.weight.detach().float()
    torch.testing.assert_close(w @ w.T, torch.eye(4), rtol=0, atol=2**-7)


def test_a_least_norm_above_the_largest_is_refused():
    with pytest.raises(ValueError, match=r"max must be at least min, got min=2.0 and max=1.0"):
        MinMaxNorm(2.0, 1.0)
