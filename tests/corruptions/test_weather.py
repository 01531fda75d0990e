"""Weather and light by their equations."""

import colorsys
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from regnet.corruptions import CORRUPTIONS, corrupt
from regnet.corruptions.draws import Draws
from regnet.corruptions.filters import motion, zoom
from regnet.corruptions.weather import ice, plasma
from tests.helpers.pictures import digits, photos


def test_brightness_is_the_value_of_a_colour():
    x = photos(2, 32).double()
    worse = corrupt(x, "brightness", 4)
    for before, after in zip(x.movedim(1, 3).flatten(0, 2)[::7], worse.movedim(1, 3).flatten(0, 2)[::7], strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before.tolist())
        assert after.tolist() == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, min(value + 0.2, 1)))


def test_black_becomes_grey_by_brightness():
    assert torch.allclose(corrupt(torch.zeros(1, 3, 32, 32), "brightness", 5), torch.tensor(0.3))


def loop_of_plasma(noise, decay):
    """Diamond and square, point by point."""
    n = len(noise)
    height = np.zeros((n, n))
    step, amplitude = n, 1.0
    while step > 1:
        half = step // 2
        for row in range(0, n, step):
            for column in range(0, n, step):
                corners = [height[(row + a) % n, (column + b) % n] for a in (0, step) for b in (0, step)]
                height[row + half, column + half] = np.mean(corners) + amplitude * noise[row + half, column + half]
        for row in range(0, n, half):
            for column in range(0 if row % step else half, n, step):
                near = [height[(row + a) % n, column] for a in (-half, half)]
                near += [height[row, (column + a) % n] for a in (-half, half)]
                height[row, column] = np.mean(near) + amplitude * noise[row, column]
        step, amplitude = half, amplitude / decay**2
    return (height - height.min()) / (height.max() - height.min())


@pytest.mark.parametrize("decay", [1.4, 3])
def test_plasma_is_made_by_diamond_and_square(decay):
    like = torch.zeros(2, 1, dtype=torch.float64)
    noise = 2 * Draws(3, "fog", 0, like).uniform(16, 16) - 1
    expected = np.array([loop_of_plasma(one.numpy(), decay) for one in noise])
    assert torch.allclose(plasma(Draws(3, "fog", 0, like), 13, decay), torch.tensor(expected))


def test_fog_lies_over_what_is_as_bright_as_before():
    x = photos(3, 32).double()
    fog = plasma(Draws(0, "fog", 0, x), 32, 2)[:, None]
    most = x.amax((1, 2, 3), keepdim=True)
    assert torch.allclose(corrupt(x, "fog", 4), ((x + fog) * most / (most + 1)).clamp(0, 1))


def test_frost_is_a_texture_over_the_image():
    x = photos(3, 32).double()
    texture = ice(Draws(0, "frost", 0, x), 32, 32)
    assert torch.allclose(corrupt(x, "frost", 5), (0.75 * x + 0.45 * texture).clamp(0, 1))


def test_ice_is_about_as_bright_and_uneven_as_the_photographs():
    texture = ice(Draws(0, "frost", 0, torch.zeros(200, 1)), 32, 32)
    assert texture.mean().item() == pytest.approx(0.64, abs=0.05)
    assert texture.flatten(1).std(1).mean().item() == pytest.approx(0.08, abs=0.02)
    assert texture.min() >= 0.5
    assert texture.max() <= 1


def test_snow_falls_on_a_whiter_image():
    x = photos(3, 32).double()
    draws = Draws(0, "snow", 0, x)
    flakes = zoom(0.15 + 0.3 * draws.normal(1, 32, 32), 1.75)
    flakes = torch.where(flakes < 0.55, 0, flakes).clamp(0, 1)
    flakes = motion(flakes, 10, 4, (draws.uniform() * 90 - 135) * math.pi / 180)
    luma = (x * torch.tensor([0.299, 0.587, 0.114]).double()[:, None, None]).sum(1, keepdim=True)
    expected = 0.9 * x + 0.1 * torch.maximum(x, 1.5 * luma + 0.5) + flakes + flakes.rot90(2, (2, 3))
    assert torch.allclose(corrupt(x, "snow", 3), expected.clamp(0, 1), atol=1e-7)


@pytest.mark.parametrize("severity", [1, 2, 4])
def test_spatter_is_mud_where_smooth_noise_is_high(severity):
    x = digits(3).double()
    mean, spread, smooth, threshold, rim = CORRUPTIONS["spatter"].constants[28][severity - 1]
    noise = mean + spread * Draws(0, "spatter", 0, x).normal(1, 28, 28).numpy()
    mud = ndimage.gaussian_filter(noise, (0, 0, smooth, smooth), mode="nearest") > threshold
    mud = ndimage.gaussian_filter(mud.astype(float), (0, 0, rim, rim), mode="nearest")
    mud = torch.tensor(np.where(mud < 0.8, 0, mud))
    assert 0 < (mud > 0).double().mean() < 0.6
    assert torch.allclose(corrupt(x, "spatter", severity), x * (1 - mud) + 63 / 255 * mud)


@pytest.mark.parametrize("kind", ["spatter", "snow"])
def test_a_layer_covers_as_much_of_images_of_another_size(kind):
    def covered(side):
        return corrupt(torch.zeros(300, 1, side, side), kind, 3).mean().item()

    assert covered(14) == pytest.approx(covered(28), rel=0.1)
    if kind == "spatter":
        assert covered(56) == pytest.approx(covered(28), rel=0.2)
