"""Strokes point by point, and Canny's edges by SciPy and by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

from regnet.corruptions import corrupt
from regnet.corruptions.draws import Draws
from regnet.corruptions.edges import canny
from regnet.corruptions.weather import grey
from tests.helpers.pictures import digits, photos


def test_stripes_invert_a_quarter_at_each_side():
    x = digits(3)
    expected = x.clone()
    expected[..., :7], expected[..., 21:] = 1 - x[..., :7], 1 - x[..., 21:]
    assert torch.allclose(corrupt(x, "stripe", 5), expected)


def line(c0, r0, c1, r1):
    """As MNIST-C draws it: brighter the fewer rows a pixel is off, and nothing before or behind its ends."""
    drawn = np.zeros((28, 28))
    for column in range(math.floor(c0), min(math.ceil(c1), 28)):
        for row in range(28):
            apart = abs(row - r0 - (r1 - r0) / (c1 - c0) * (column - c0))
            if apart < 2.3:
                drawn[row, column] = max(0, 1 + math.log(1 - apart / 2.3))
    return drawn


@pytest.mark.parametrize("severity", [1, 3])
def test_dotted_lines_are_those_of_mnist_c(severity):
    x = torch.zeros(8, 1, 28, 28, dtype=torch.float64)
    left, right = Draws(0, "dotted_line", 0, x).whole(0, 27, 2, 5).unbind(1)
    for worse, starts, ends in zip(corrupt(x, "dotted_line", severity), left.tolist(), right.tolist(), strict=True):
        expected = sum(line(0, starts[i], 27, ends[i]) for i in range(severity))
        expected[:, [column for column in range(28) if column % 4 < 2]] = 0
        assert torch.allclose(worse[0], torch.tensor(expected).clamp(max=1), atol=1e-6)


def test_zigzags_are_those_of_mnist_c():
    x = torch.zeros(8, 1, 28, 28, dtype=torch.float64)
    draws = Draws(0, "zigzag", 0, x)
    starts, falls = draws.whole(0, 27, 5)[:, 0].tolist(), draws.whole(-5, 5, 5)[:, 0].tolist()
    for worse, start, fall in zip(corrupt(x, "zigzag", 1), starts, falls, strict=True):
        slope = math.atan(fall / 23)
        length = 23 / math.cos(slope)
        turns = [(0, 0)] + [((2 * i + 1) * 2, (-1) ** i * 2) for i in range(int((length - 2) // 4) + 1)]
        turns.append((length, turns[-1][1] / (2 * (length - 4 * (length // 4)))))
        ends = [
            (2 + u * math.cos(slope) - v * math.sin(slope), start + u * math.sin(slope) + v * math.cos(slope))
            for u, v in turns
        ]
        expected = np.zeros((28, 28))
        for one, other in pairwise(ends):
            expected = np.minimum(expected + line(*one, *other), 1)
        assert torch.allclose(worse[0], torch.tensor(expected), atol=1e-6)


def edges_by_scipy(image):
    """Canny's detector pixel by pixel."""
    weight = ndimage.gaussian_filter(np.ones_like(image), 1, mode="constant")
    smooth = ndimage.gaussian_filter(image, 1, mode="constant") / weight
    down, right = ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)
    size = np.hypot(down, right)
    ridge = np.zeros_like(size, bool)
    for row in range(1, len(size) - 1):
        for column in range(1, size.shape[1] - 1):
            here = size[row, column]
            if here < 0.1:
                continue
            v, u = down[row, column], right[row, column]
            largest = max(abs(v), abs(u))
            step_v, step_u = v / largest, u / largest
            sides = []
            for way in (1, -1):
                to_v, to_u = way * step_v, way * step_u
                if abs(step_v) == 1:
                    at, share = row + int(to_v), abs(to_u)
                    straight, aslant = size[at, column], size[at, column + int(np.sign(to_u))]
                else:
                    at, share = column + int(to_u), abs(to_v)
                    straight, aslant = size[row, at], size[row + int(np.sign(to_v)), at]
                sides.append((1 - share) * straight + share * aslant)
            ridge[row, column] = max(sides) <= here + 1e-12
    parts, _ = ndimage.label(ridge, np.ones((3, 3)))
    strong = np.unique(parts[ridge & (size >= 0.2)])
    return ridge & np.isin(parts, strong[strong > 0])


@pytest.mark.parametrize("x", [digits(40), grey(photos(20, 32)), grey(photos(3, 60))[..., :41, :]], ids=len)
def test_edges_are_those_of_scipy(x):
    expected = np.array([edges_by_scipy(image) for image in x[:, 0].double().numpy()])
    found = canny(x.double())[:, 0].bool().numpy()
    assert (found != expected).mean() < 1e-3
    assert 0.05 < found.mean() < 0.5


def test_edges_of_a_square():
    x = torch.zeros(1, 1, 12, 12)
    x[..., 3:9, 3:9] = 1
    drawn = ["".join(".#"[int(pixel)] for pixel in row) for row in canny(x)[0, 0].tolist()]
    assert drawn == 3 * ["." * 12] + ["...######..."] + 4 * ["...#....#..."] + ["...######..."] + 3 * ["." * 12]


def test_a_weak_edge_counts_where_it_touches_a_strong_one():
    weak = torch.zeros(1, 1, 40, 40)
    weak[..., 20:] = 0.05
    both = weak.clone()
    both[..., 20:, 20:] = 0.1
    assert canny(weak).sum() == 0
    assert canny(both)[..., 1:39, 19:21].amax(3).all()


@pytest.mark.parametrize(("height", "found"), [(0.05, False), (0.1, True)])
def test_thresholds_of_edges_hold_for_the_size_that_images_are_scaled_to(height, found):
    for unit in (1, 2, 4):
        x = torch.zeros(1, 1, 28 * unit, 28 * unit)
        x[..., 14 * unit :] = height
        edges = canny(x, float(unit))[0, 0]
        assert edges.any().item() == found
        assert edges.sum(1).max() <= 2, "one line, or two side by side"


def test_edges_are_blended_in():
    x = photos(2, 32)
    assert torch.allclose(corrupt(x, "canny_edges", 2), 0.6 * x + 0.4 * canny(grey(x), 32 / 28))
