"""Filters and blurs against scipy.ndimage and against loops."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from regnet.corruptions import corrupt
from regnet.corruptions.filters import convolved, gaussian, motion, zoom
from tests.helpers.pictures import digits, photos


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("border", ["nearest", "reflect", "constant"])
@pytest.mark.parametrize(("sigma", "truncate"), [(0.05, 4), (0.7, 4), (2.0, 3), (6.0, 4)])
def test_a_gaussian_is_that_of_scipy(sigma, truncate, border):
    x = noise(2, 3, 20, 31)
    theirs = ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode=border, truncate=truncate)
    assert torch.allclose(gaussian(x, sigma, border, truncate), torch.tensor(theirs))


def test_a_gaussian_of_no_width_changes_nothing():
    x = noise(1, 1, 9, 9)
    assert gaussian(x, 0.0).equal(x)


def test_a_convolution_is_that_of_scipy():
    x, kernel = noise(2, 1, 20, 31), noise(9, 9)
    kernel = kernel + kernel.flip(0) + kernel.flip(1) + kernel.flip(0, 1)
    theirs = [ndimage.convolve(image, kernel.numpy(), mode="mirror") for image in x[:, 0].numpy()]
    assert torch.allclose(convolved(x, kernel)[:, 0], torch.tensor(np.array(theirs)))


@pytest.mark.parametrize("factor", [1.0, 1.05, 1.3, 4.5])
def test_a_zoom_is_that_of_scipy(factor):
    x = noise(2, 3, 20, 31)
    middle = np.array([9.5, 15.0])
    matrix = np.eye(2) / factor
    theirs = [
        [ndimage.affine_transform(channel, matrix, middle - matrix @ middle, order=1) for channel in image]
        for image in x.numpy()
    ]
    assert torch.allclose(zoom(x, factor), torch.tensor(np.array(theirs)))


@pytest.mark.parametrize("degrees", [-135.0, -44.0, 0.0, 31.0])
def test_motion_blur_is_the_weighted_mean_along_a_line(degrees):
    x, radius, sigma = noise(1, 1, 12, 17), 3.2, 1.5
    k = np.arange(2 * math.ceil(radius) + 1)
    weight = np.exp(-(k**2) / (2 * sigma**2))
    weight[weight < 1e-3 * weight.sum()] = 0
    weight /= weight.sum()
    expected = np.zeros((12, 17))
    for row in range(12):
        for column in range(17):
            for i, share in zip(k, weight, strict=True):
                down = math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
                right = math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
                near = x[0, 0, min(max(row + down, 0), 11), min(max(column + right, 0), 16)]
                expected[row, column] += share * near
    ours = motion(x, radius, sigma, torch.tensor([math.radians(degrees)]))
    assert torch.allclose(ours[0, 0], torch.tensor(expected))


@pytest.mark.parametrize(("severity", "radius", "sigma", "reach"), [(1, 3, 0.1, 1), (3, 6, 0.5, 1), (5, 10, 0.5, 2)])
def test_defocus_is_a_softened_disk(severity, radius, sigma, reach):
    along = np.arange(-radius - reach, radius + reach + 1)
    disk = (along[:, None] ** 2 + along**2 <= radius**2).astype(float)
    soft = ndimage.gaussian_filter(disk, sigma, mode="constant", radius=reach)
    x = digits(3).double()
    theirs = [ndimage.convolve(image, soft / soft.sum(), mode="mirror") for image in x[:, 0].numpy()]
    assert torch.allclose(corrupt(x, "defocus_blur", severity)[:, 0], torch.tensor(np.array(theirs)))


def test_defocus_of_a_larger_image_is_the_same_blur():
    large, worse = photos(8, 64), corrupt(photos(8, 64), "defocus_blur", 5)
    small, worse_small = (torch.nn.functional.avg_pool2d(x, 2) for x in (large, worse))
    other = (corrupt(small, "defocus_blur", 5) - worse_small).abs().mean()
    assert other < 0.2 * (small - worse_small).abs().mean()


def test_zoom_blur_is_the_mean_of_enlarged_images():
    x = noise(2, 3, 224, 230)
    factors = [1, 1.02, 1.04, 1.06, 1.08, 1.1, 1.12, 1.14, 1.16, 1.18, 1.2]
    expected = (x + sum(zoom(x, factor) for factor in factors)) / 12
    assert torch.allclose(corrupt(x, "zoom_blur", 3), expected)


def glass(image, sigma, reach, rounds, coin, draw):
    """The code of MNIST-C (`coin`: pixels change places half of the time), and of CIFAR-10-C, in one loop."""
    side = len(image)
    x = ndimage.gaussian_filter(image, sigma, mode="nearest")
    for _ in range(rounds):
        for row in range(side - reach, reach, -1):
            for column in range(side - reach, reach, -1):
                if coin and draw.random() < 0.5:
                    continue
                down, right = draw.integers(-reach, reach, size=2)
                there, here = x[row + down, column + right], x[row, column]
                x[row, column] = there
                x[row + down, column + right] = here if coin else there
    return ndimage.gaussian_filter(x, sigma, mode="nearest")


@pytest.mark.parametrize(
    ("x", "settings", "coin"),
    [
        (digits(60), [(0.7, 1, 2), (1, 2, 3), (1.5, 4, 2)], True),
        (photos(60, 32)[:, :1], [(0.4, 1, 1), (0.05, 1, 1), (0.25, 1, 2)], False),
    ],
    ids=["mnist", "cifar"],
)
def test_glass_blur_is_about_as_strong_as_the_published_code(x, settings, coin):
    draw = np.random.default_rng(0)
    for severity, setting in zip((1, 3, 5), settings, strict=True):
        theirs = np.array([glass(image, *setting, coin, draw) for image in x[:, 0].numpy()])
        distance = ((theirs - x[:, 0].numpy()) ** 2).mean()
        assert (corrupt(x, "glass_blur", severity) - x).square().mean().item() == pytest.approx(distance, rel=0.25)
