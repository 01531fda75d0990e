"""Gaussian noise by kind of data; that on tables is tested in test_transforms."""

import pytest
import torch
from scipy.stats import kstest, norm

from regnet.regularizers import FeatureNoise, InputNoise, PixelNoise


def test_pixel_noise():
    x = torch.full((200, 1, 20, 20), 0.9)
    new, y = PixelNoise(0.1)(x, x)
    assert y is x
    values = new.double().flatten()
    assert (new >= 0).all()
    assert (new <= 1).all()
    for point in (0.7, 0.9, 0.999):  # below the border its distribution is the normal one
        share, expected = (values < point).double().mean().item(), norm.cdf((point - 0.9) / 0.1)
        assert abs(share - expected) < 5 * (expected * (1 - expected) / len(values)) ** 0.5
    assert (values == 1).double().mean().item() == pytest.approx(norm.sf(1), abs=5 * (0.16 * 0.84 / 80_000) ** 0.5)


def test_input_noise_of_images_has_no_mean():
    """Also at pixels that are black or white, where clipped noise has one."""
    x = torch.rand(200, 1, 20, 20).round()
    noise = (InputNoise(0.3)(x, x)[0] - x).double()
    for own in (noise[x == 0], noise[x == 1]):
        assert abs(own.mean()) < 5 * 0.3 / own.numel() ** 0.5
        assert kstest(own / 0.3, "norm").pvalue > 1e-3


def test_input_noise_of_features_is_in_units_of_their_spread():
    x, y, results = torch.rand(6, 5) * 3, torch.arange(6), []
    for transform in (InputNoise(0.3), FeatureNoise(0.3)):
        torch.manual_seed(1)
        new, targets = transform(x, y)
        assert targets is y
        results.append(new)
    assert torch.equal(*results)
    assert not torch.equal(results[0], x)
