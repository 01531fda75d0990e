"""Where pixels go, against scipy.ndimage and torchvision."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import rotate

from regnet.corruptions import corrupt
from regnet.corruptions.draws import Draws
from regnet.corruptions.geometry import Elastic
from tests.helpers.pictures import digits, photos

X = digits(6).double()
SHEAR, ROTATE = {1: 0.2, 3: 0.6, 5: 1.0}, {1: 0.2, 3: 0.6, 5: 1.0}


def signs(kind, *shape):
    return Draws(0, kind, 0, X).sign(*shape)


def warped(image, matrix, shift, mode="constant"):
    """x(A (p - m) + m + t) by scipy, whose points are (row, column)."""
    matrix, shift = np.array(matrix)[::-1, ::-1], np.array(shift)[::-1]
    middle = (np.array(image.shape) - 1) / 2
    return ndimage.affine_transform(image, matrix, middle - matrix @ middle + shift, order=1, mode=mode, cval=0)


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("kind", ["shear", "rotate", "scale", "translate"])
def test_affine_kinds_are_those_of_scipy(kind, severity):
    if kind == "translate":
        maps = [(np.eye(2), [1, 2, 3, 4, 5][severity - 1] * sign.numpy()) for sign in signs(kind, 2)]
    elif kind == "scale":
        maps = [(np.eye(2) / [0.9, 0.8, 0.7, 0.6, 0.5][severity - 1], (0, 0))] * len(X)
    else:
        maps = []
        for sign in signs(kind).tolist():
            s, c = math.sin(sign * 0.2 * severity), math.cos(sign * 0.2 * severity)
            maps.append(([[1, -s], [0, c]] if kind == "shear" else [[c, -s], [s, c]], (0, 0)))
    expected = np.array([warped(image, *one) for image, one in zip(X[:, 0].numpy(), maps, strict=True)])
    assert torch.allclose(corrupt(X, kind, severity)[:, 0], torch.tensor(expected).clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("shape", [(28, 28), (20, 33)])
def test_rotation_is_that_of_torchvision(shape):
    x = torch.rand(6, 3, *shape, generator=torch.Generator().manual_seed(0))
    degrees = 0.4 * 180 / math.pi * Draws(0, "rotate", 0, x).sign()
    expected = [
        rotate(image, angle, InterpolationMode.BILINEAR) for image, angle in zip(x, degrees.tolist(), strict=True)
    ]
    assert torch.allclose(corrupt(x, "rotate", 2), torch.stack(expected), atol=1e-4)


def test_translation_follows_the_size():
    x = torch.zeros(1, 1, 56, 56)
    x[..., 20, 20] = 1
    row, column = (corrupt(x, "translate", 3)[0, 0] == 1).nonzero()[0].tolist()
    assert (abs(row - 20), abs(column - 20)) == (6, 6)


def test_elastic_is_an_affine_map_and_smooth_shifts():
    x = photos(4, 32).double()
    strength, sigma, off = (32 * part for part in Elastic.constants[32][2])
    draws = Draws(0, "elastic", 0, x)
    corners = 2 * draws.uniform(3, 2).numpy() - 1
    shifts = 2 * draws.uniform(2, 32, 32).numpy() - 1
    expected = []
    for image, corner, shift in zip(x.numpy(), corners, shifts, strict=True):
        before = np.array([[26.0, 26.0], [26.0, 6.0], [6.0, 6.0]])  # (column, row): 16 and a third of 32 to each side
        after = before + off * corner
        matrix = np.linalg.solve(np.c_[after, np.ones(3)], before)  # takes a place in the outcome to its source
        smooth = [ndimage.gaussian_filter(part, sigma, mode="reflect", truncate=3) for part in shift]
        row, column = np.mgrid[:32, :32].astype(float)
        places = np.stack([column + strength * smooth[0], row + strength * smooth[1], np.ones((32, 32))], -1) @ matrix
        source = [places[..., 1], places[..., 0]]
        expected.append([ndimage.map_coordinates(channel, source, order=1, mode="mirror") for channel in image])
    assert torch.allclose(corrupt(x, "elastic", 3), torch.tensor(np.array(expected)), atol=1e-6)
