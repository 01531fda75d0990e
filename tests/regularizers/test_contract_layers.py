"""What every layer of the dropout family keeps to."""

import copy

import pytest
import torch
from table import each
from torch import nn

from regnet import regularizers as R

RATES = [0.1, 0.5, 0.9]
EXTREMES = [0, 0.0, 2**-18, 2**-16, 0.999, 1 - 2**-16, 1 - 2**-17, 1 - 2**-24]


@each(R.Dropout)
@pytest.mark.parametrize("rate", RATES)
def test_layer_is_the_identity_in_evaluation(row, rate):
    x = torch.randn(3, 4, 2, 2)
    assert torch.equal(row.make(rate).eval()(x), x)


@each(R.Dropout)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_layer_moments(row, rate, dtype):
    """E[y/x] = 1 and Var[y/x] = r / (1 - r), within 5 standard errors; draws are shared as documented."""
    x = (torch.rand(100, 50, 2, 4) + 0.5).to(dtype)
    y = row.make(rate)(x)
    assert y.dtype == dtype
    factor = y.double() / x.double()
    shape = row.reference(x.shape)
    draws = factor[tuple(slice(size) for size in shape)]
    rounding = torch.finfo(dtype).eps if dtype == torch.bfloat16 else 1e-6  # of x times the scale, and the scale's
    assert ((factor - draws).abs() <= 2 * rounding * draws).all()
    for sample, expected in ((draws, 1.0), ((draws - 1).square(), rate / (1 - rate))):
        error = 5 * sample.std() / draws.numel() ** 0.5 + 2 * rounding * expected
        assert abs(sample.mean() - expected) < error
    kept = (draws > 0).double().mean()
    assert abs(kept - (1 - rate)) < 5 * (rate * (1 - rate) / draws.numel()) ** 0.5


@each(R.Dropout)
def test_layer_passes_gradient_where_it_passes_values(row):
    x = torch.rand(20, 5, 2, 2, dtype=torch.double) + 0.5
    x.requires_grad_()
    y = row.make(0.5)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y / x).detach())
    assert (x.grad == 0).any()


@each(R.Dropout)
def test_layer_at_the_ends(row):
    x = torch.randn(64, 8, 2, 2, requires_grad=True)
    for rate in EXTREMES:
        y = row.make(rate)(x)
        y.sum().backward()
        assert y.isfinite().all()
        assert x.grad.isfinite().all()
    assert torch.equal(row.make(0.0)(x), x)
    assert row.make(0.5)(x[:0]).shape == (0, 8, 2, 2)


@each(R.Dropout)
def test_layer_does_not_round_its_rate_to_half_precision(row):
    y = row.make(0.999)(torch.ones(400, 400, 1, 1, dtype=torch.bfloat16))  # 0.999 in bfloat16 is 1
    kept = y[y > 0].double()
    assert abs(len(kept) - 160) < 5 * 160**0.5
    assert kept.mean().item() == pytest.approx(1000, rel=0.02)  # 2^-16 of the rate is 1.5 % of the scale


@each(R.Dropout)
def test_layer_under_autocast(row):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), row.make(0.5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = network(torch.randn(8, 3, 2, 2))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert network[0].weight.grad.isfinite().all()


@each(R.Dropout)
def test_layer_keeps_its_rate_as_state(row):
    layer, x = row.make(0.25), torch.ones(200, 10, 2, 2)
    assert copy.deepcopy(layer).rate == 0.25
    layer.rate.fill_(0.75)  # in place, as schedules do
    assert abs((layer(x)[:, :, 0, 0] == 0).float().mean() - 0.75) < 5 * (0.1875 / 2000) ** 0.5
    fresh = row.make(0.1)
    fresh.load_state_dict(layer.state_dict())
    assert fresh.rate == 0.75
    assert "0.75" in repr(fresh)
