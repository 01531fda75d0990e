"""Cutout and random erasing: which pixels, and what comes in their place."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare
from torchvision.transforms import v2

from regnet.regularizers import Cutout, RandomErasing

Y = torch.zeros(1)


def erased(transform, count, height, width):
    """What is erased of `count` images, (B, H, W)."""
    x = transform(torch.zeros(count, 2, height, width), Y)[0]
    assert torch.equal(x[:, 0], x[:, 1])
    return x[:, 0].numpy()


@pytest.mark.parametrize(("size", "side"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.7, 3), (1.0, 4)])
def test_cutout_gives_every_square_equally_often(size, side):
    squares = []
    for row in range(4):
        for column in range(5):
            top, left = row - side // 2, column - side // 2
            square = np.zeros((4, 5), dtype=np.float32)
            square[max(top, 0) : top + side, max(left, 0) : left + side] = 1
            squares.append(square.tobytes())
    expected = Counter(squares)
    found = Counter(square.tobytes() for square in erased(Cutout(size, fill=1.0), 4000, 4, 5))
    assert found.keys() == expected.keys()
    if side:
        assert chisquare([found[s] for s in expected], [200 * n for n in expected.values()]).pvalue > 1e-4


def test_random_erasing_against_torchvision():
    """The same joint distribution of height and width, and of the place; so of the redraws of what does not fit."""
    settings = {"area": (0.05, 0.8), "aspect": (0.2, 2.0)}
    ours = erased(RandomErasing(0.8, fill=1.0, **settings), 4000, 9, 7)
    reference = v2.RandomErasing(0.8, settings["area"], settings["aspect"], value=1.0)
    theirs = torch.stack([reference(torch.zeros(1, 9, 7))[0] for _ in range(4000)]).numpy()

    def sides(images):
        return [(int(image.any(1).sum()), int(image.any(0).sum())) for image in images]

    def places(images):
        corners = (np.argwhere(image) for image in images if image.any())
        return [tuple(corner[0]) for corner in corners]

    for kind in (sides, places):
        a, b = Counter(kind(ours)), Counter(kind(theirs))
        usual = [key for key in a | b if a[key] + b[key] >= 20]
        assert len(usual) > 20
        assert sum(a[key] for key in usual) > 3000
        assert chi2_contingency([[a[key] for key in usual], [b[key] for key in usual]]).pvalue > 1e-4
    for image, (height, width) in zip(ours, sides(ours), strict=True):
        assert image.sum() == height * width  # one full rectangle


def test_random_erasing_of_what_never_fits():
    assert not erased(RandomErasing(1.0, (0.95, 1.0), (1.0, 1.0), fill=1.0), 50, 4, 4).any()


@pytest.mark.parametrize("make", [lambda fill: Cutout(0.5, fill=fill), lambda fill: RandomErasing(1.0, fill=fill)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_comes_in(make, dtype):
    x = torch.rand(500, 3, 6, 8).to(dtype) + 2  # so that nothing drawn or given is a pixel of the image
    y = torch.arange(500)
    for fill in (0, 0.25, "mean", "random"):
        new, targets = make(fill)(x, y)
        assert targets is y
        gone = new != x
        assert gone.any()
        if fill == "mean":
            means = x.double().mean((0, 2, 3))
            for channel in range(3):
                values = new[:, channel][gone[:, channel]].double()
                torch.testing.assert_close(values, means[channel].expand_as(values), rtol=0, atol=0.01)
        elif fill == "random":
            values = new[gone].double()
            assert 0 <= values.min() < 0.01
            assert 0.99 < values.max() <= 1
            assert abs(values.mean() - 0.5) < 5 / (12 * len(values)) ** 0.5 + 0.002
            assert new[gone.all(1, keepdim=True).expand_as(x)].unique().numel() > 50
        else:
            assert (new[gone] == fill).all()


@pytest.mark.parametrize("make", [Cutout, RandomErasing])
def test_the_probability_is_that_of_an_image(make):
    changed = erased(make(probability=0.3, fill=1.0), 4000, 12, 12).any((1, 2)).mean()
    assert abs(changed - 0.3) < 5 * (0.21 / 4000) ** 0.5


@pytest.mark.parametrize("make", [Cutout, RandomErasing])
def test_erasing_out_of_range(make):
    for bad in (-0.1, 1.1, "a", True, None):
        with pytest.raises(ValueError, match=r"fill must be mean, random or a number in \[0, 1\], got"):
            make(fill=bad)
    with pytest.raises(ValueError, match=r"probability must be in \[0, 1\], got 2"):
        make(probability=2)
    with pytest.raises(ValueError, match=r"this is for images \(C, H, W\), and these samples have shape \(13,\)"):
        make()(torch.zeros(2, 13), Y)


def test_ranges():
    for bad in ((0, 0.5), (0.5, 0.2), (0.1, 1.1), (0.1,), 0.1, ("a", "b"), (0.1, float("nan"))):
        with pytest.raises(ValueError, match=r"area must be two numbers in \(0, 1\], the smaller one first, got"):
            RandomErasing(area=bad)
    for bad in ((0, 1), (2, 1), (1, float("inf"))):
        with pytest.raises(ValueError, match="aspect must be two numbers > 0, the smaller one first, got"):
            RandomErasing(aspect=bad)
    with pytest.raises(ValueError, match=r"size must be in \[0, 1\], got 16"):
        Cutout(16)
