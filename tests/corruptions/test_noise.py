"""Noise by its moments."""

import math

import pytest
import torch

from regnet.corruptions import corrupt
from regnet.corruptions.draws import Draws

GREY = torch.full((40, 1, 28, 28), 0.5)  # 31,360 values


@pytest.mark.parametrize(("severity", "sigma"), [(1, 0.08), (2, 0.12)])
def test_gaussian_noise_has_the_published_spread(severity, sigma):
    noise = corrupt(GREY, "gaussian_noise", severity) - 0.5
    assert noise.mean().item() == pytest.approx(0, abs=4 * sigma / math.sqrt(noise.numel()))
    assert noise.std().item() == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize(("side", "severity", "photons"), [(28, 1, 60), (28, 3, 12), (32, 1, 500), (224, 3, 12)])
def test_shot_noise_counts_photons(side, severity, photons):
    x = torch.full((4, 1, side, side), 0.3)
    counts = corrupt(x, "shot_noise", severity) * photons
    assert torch.allclose(counts, counts.round(), atol=1e-3)
    assert counts.mean().item() == pytest.approx(0.3 * photons, rel=0.03)
    assert counts.var().item() == pytest.approx(0.3 * photons, rel=0.07)
    assert corrupt(torch.zeros(1, 1, side, side), "shot_noise", severity).max() == 0


@pytest.mark.parametrize(("side", "severity", "amount"), [(28, 5, 0.27), (32, 5, 0.07), (28, 1, 0.03)])
def test_impulse_noise_is_half_white_and_half_black(side, severity, amount):
    worse = corrupt(torch.full((40, 1, side, side), 0.5), "impulse_noise", severity)
    sure = 4 * math.sqrt(amount / 2 / worse.numel())
    for value in (0.0, 1.0):
        assert (worse == value).double().mean().item() == pytest.approx(amount / 2, abs=sure)
    assert ((worse == 0) | (worse == 1) | (worse == 0.5)).all()


def test_severer_noise_is_more_of_the_same():
    few, many = (corrupt(GREY, "impulse_noise", severity) != 0.5 for severity in (2, 4))
    assert (few <= many).all()
    ratio = (corrupt(GREY, "gaussian_noise", 2) - 0.5) / (corrupt(GREY, "gaussian_noise", 1) - 0.5)
    assert ratio.median().item() == pytest.approx(0.12 / 0.08)


def test_draws_are_uniform_whole_and_signs():
    draws = Draws(0, "kind", 0, torch.zeros(1000, 3, dtype=torch.float64))
    whole = draws.whole(-2, 3, 50)
    assert whole.dtype == torch.float64
    assert whole.unique().tolist() == [-2, -1, 0, 1, 2]
    for value in range(-2, 3):
        assert (whole == value).double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert draws.sign(50).mean().abs() < 0.02
    assert draws.uniform().shape == (1000,)


def test_streams_of_examples_are_not_correlated():
    draws = Draws(0, "kind", 0, torch.zeros(200))
    correlation = torch.corrcoef(draws.normal(2000))
    assert correlation.fill_diagonal_(0).abs().max() < 0.12
