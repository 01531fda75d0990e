import numpy as np
import pytest
import torch

from regnet.data import moments
from regnet.data.samples import Samples


def samples(x):
    return Samples(x, torch.zeros(len(x), dtype=torch.int64))


@pytest.mark.parametrize("lazy", [False, True])
def test_images_per_channel(lazy, monkeypatch):
    monkeypatch.setattr(moments, "CHUNK", 7)
    x = torch.randint(0, 256, (20, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = moments.input_moments(samples(list(x)) if lazy else samples(x))
    expected = x.numpy() / 255
    np.testing.assert_allclose(mean, expected.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(std, expected.std((0, 2, 3)), rtol=1e-5)


def test_images_of_floats():
    x = torch.rand(20, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, std = moments.input_moments(samples(x))
    np.testing.assert_allclose(mean, x.double().numpy().mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, x.double().numpy().std((0, 2, 3)), rtol=1e-6)


def test_of_lazy_images_only_the_first_are_read(monkeypatch):
    monkeypatch.setattr(moments, "LAZY_IMAGES_READ", 2)
    images = [torch.full((1, 2, 2), value, dtype=torch.uint8) for value in (0, 255, 77)]
    mean, std = moments.input_moments(samples(images))
    assert (mean.tolist(), std.tolist()) == ([0.5], [0.5])


def test_columns_without_their_missing_values():
    x = torch.tensor([[1.0, torch.nan, 0.1, torch.nan], [2.0, 4.0, 0.1, torch.nan], [6.0, 1e6, 0.1, torch.nan]])
    mean, std = moments.input_moments(samples(x))
    np.testing.assert_allclose(mean[:3], np.nanmean(x[:, :3], 0), rtol=1e-6)
    np.testing.assert_allclose(std[:2], np.nanstd(x[:, :2].double(), 0), rtol=1e-6)
    assert std[2] == 1  # a constant
    assert (mean[3], std[3]) == (0, 1)  # no value at all


def test_constant_pixels():
    mean, std = moments.input_moments(samples(torch.full((30, 1, 9, 9), 77, dtype=torch.uint8)))
    assert std.tolist() == [1.0]
    assert mean.item() == pytest.approx(77 / 255)
