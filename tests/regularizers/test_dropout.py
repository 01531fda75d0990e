"""Dropout as a penalty, its generator, and whole feature maps."""

import pytest
import torch
from scipy.stats import chi2
from torch import nn

from regnet.regularizers import Dropout, SpatialDropout
from regnet.regularizers.layers.dropout import inverted_bernoulli


@pytest.mark.parametrize("bad", ["0.5", None, True, float("nan"), float("inf"), -0.1, 1, 1.0, 1.5], ids=repr)
@pytest.mark.parametrize("layer", [Dropout, SpatialDropout])
def test_rate_out_of_range(layer, bad):
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\), got "):
        layer(bad)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_of_inputs_is_ridge_in_expectation(rate, rng):
    """E||y - (B∘X)w/p||² = ||y - Xw||² + (1-p)/p ||diag(XᵀX)^½ w||², B ~ Bernoulli(p), p = 1 - rate.

    Srivastava et al. 2014, section 9.1, for inverted dropout: their w is ours times p.
    """
    x, w, y = (torch.tensor(rng.normal(size=size)) for size in ((30, 5), 5, 30))
    draws = 20_000
    noisy = Dropout(rate)(x.expand(draws, -1, -1))
    losses = (y - noisy @ w).square().sum(1)
    expected = (y - x @ w).square().sum() + rate / (1 - rate) * (x.square().sum(0) * w.square()).sum()
    assert abs(losses.mean() - expected) < 5 * losses.std() / draws**0.5
    assert expected > 1.05 * (y - x @ w).square().sum()


def test_all_four_lanes_are_uniform():
    """The same draws against 16 thresholds: how often each lane falls between them, by a χ² test."""
    n, bins = 2**18, 16
    dropped = []
    for i in range(1, bins):
        torch.manual_seed(3)
        dropped.append(inverted_bernoulli(torch.Size([n]), torch.tensor(i / bins), torch.float32) == 0)
    below = torch.stack([torch.zeros(n, dtype=torch.bool), *dropped, torch.ones(n, dtype=torch.bool)])
    assert (below[1:] >= below[:-1]).all()
    counts = below.view(bins + 1, n // 4, 4).sum(1).diff(dim=0).double()  # (bins, lanes)
    statistic = (counts - n / 4 / bins).square().sum(0) / (n / 4 / bins)
    assert (torch.tensor(chi2.sf(statistic.numpy(), bins - 1)) > 1e-6).all()


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_neighbours_are_uncorrelated(rate):
    n = 2**18
    keep = (inverted_bernoulli(torch.Size([n]), torch.tensor(rate), torch.float64) > 0).double() - (1 - rate)
    for lag in (1, 2, 3, 4, 5, 8):
        correlation = (keep[lag:] * keep[:-lag]).mean() / (rate * (1 - rate))
        assert abs(correlation) < 5 / n**0.5


@pytest.mark.parametrize("rate", [0.0, 2**-18, 2**-16, 0.1, 1 / 3, 0.5, 0.9, 1 - 2**-16, 1 - 2**-20])
def test_share_and_mean_are_exact(rate, monkeypatch):
    """Over each of the 2^16 numbers once: round(rate 2^16) dropped (never all), mean exactly one."""
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.int64)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: every)
    factor = inverted_bernoulli(torch.Size([2**16]), torch.tensor(rate), torch.float64)
    assert (factor == 0).sum() == min(round(rate * 2**16), 2**16 - 1)
    assert factor.mean().item() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 1027])
def test_any_number_of_entries(count):
    assert Dropout(0.5)(torch.ones(count)).shape == (count,)
    assert Dropout(0.5)(torch.ones(3, 2, count)[:, ::2]).shape == (3, 1, count)


def test_spatial_dropout_against_torch():
    x = torch.rand(400, 30, 2, 3) + 0.5
    dropped = []
    for layer in (SpatialDropout(0.3), nn.Dropout2d(0.3)):
        factor = layer(x) / x
        assert torch.allclose(factor, factor[..., :1, :1].expand_as(factor))
        torch.testing.assert_close(factor[factor > 0].mean(), torch.tensor(1 / 0.7), rtol=1e-4, atol=0)
        dropped.append((factor[..., 0, 0] == 0).double())
    n = dropped[0].numel()
    assert abs(dropped[0].mean() - dropped[1].mean()) < 5 * (2 * 0.21 / n) ** 0.5
    for d in dropped:  # neither samples nor channels drop together: binomial variances of their counts
        for axis in (0, 1):
            size, count = d.shape[axis], d.shape[1 - axis]
            expected = 0.21 * size
            assert abs(d.sum(axis).var() - expected) < 5 * expected * (2 / count) ** 0.5
