"""What holds for every kind of corruption of images."""

import doctest
import importlib
import math
import pkgutil
from itertools import pairwise

import pytest
import torch

import regnet.corruptions
from regnet.core.seeds import bookmark
from regnet.corruptions import COMMON, CORRUPTIONS, MNIST_C, SEVERITIES, corrupt
from tests.helpers.pictures import digits, photos

SHAPES = [(5, 1, 28, 28), (5, 3, 32, 32), (5, 2, 8, 8), (5, 1, 33, 45), (2, 3, 224, 224)]
WITHOUT_DRAWS = {  # the same for every image
    *("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg", "scale", "stripe", "canny_edges"),
}
FADES = {"frost"}  # a x + b f: with a smaller a it may come nearer to x, and less is seen of x
MNIST_ALONE = {"shear", "scale", "rotate", "translate", "stripe", "spatter", "dotted_line", "zigzag", "canny_edges"}
every_kind = pytest.mark.parametrize("kind", CORRUPTIONS)


def images(shape, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype).square()


@pytest.mark.parametrize("shape", SHAPES)
@every_kind
def test_images_keep_shape_precision_and_range_and_are_changed(kind, shape):
    x = images(shape)
    before = x.clone()
    for severity in (1, 5):
        worse = corrupt(x, kind, severity)
        assert worse.shape == x.shape
        assert worse.dtype == x.dtype
        assert worse.min() >= 0
        assert worse.max() <= 1
        assert worse.isfinite().all()
        assert (worse - x).square().mean() > 1e-5
    assert x.equal(before)
    assert corrupt(x, kind, 0).equal(x)


@pytest.mark.parametrize("shape", [(9, 1, 28, 28), (9, 3, 32, 32), (9, 1, 8, 8), (9, 3, 21, 40)])
@every_kind
def test_an_image_is_corrupted_the_same_in_any_batch(kind, shape):
    x = images(shape)
    together = corrupt(x, kind, 3, seed=4)
    for sizes in ([9], [1] * 9, [4, 5]):
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        batches = [corrupt(part, kind, 3, 4, start) for part, start in zip(x.split(sizes), starts, strict=True)]
        assert torch.cat(batches).equal(together)


@every_kind
def test_random_numbers_follow_from_the_seed_the_kind_and_the_image(kind):
    same = digits(1).expand(8, -1, -1, -1)
    rewind = bookmark(same.device)
    state = torch.get_rng_state()
    one, two = corrupt(same, kind, 3, seed=0), corrupt(same, kind, 3, seed=1)
    assert torch.get_rng_state().equal(state), "torch's own random numbers are left alone"
    rewind()
    assert one.equal(corrupt(same, kind, 3, seed=0))
    if kind in WITHOUT_DRAWS:
        assert one.equal(two)
        assert one.equal(one[:1].expand_as(one))
    else:
        assert not one.equal(two)
        assert len(one.flatten(1).unique(dim=0)) > 1


@every_kind
def test_double_precision_makes_the_same_of_an_image(kind):
    x = digits(20)
    single, double = corrupt(x, kind, 3), corrupt(x.double(), kind, 3)
    assert double.dtype == torch.float64
    apart = (single.double() - double).abs()
    assert (apart > 1e-4).double().mean() < 1e-3, "but for thresholds"


@every_kind
def test_gradients_are_not_followed(kind):
    assert not corrupt(digits(1).requires_grad_(), kind, 2).requires_grad


def distances(x, kind):
    return [(corrupt(x, kind, severity) - x).square().mean().item() for severity in SEVERITIES]


def faded(x, kind):
    """1 - the slope of what became of an image over the image."""
    shares = []
    for severity in SEVERITIES:
        a, b = (image.flatten(1) - image.flatten(1).mean(1, keepdim=True) for image in (x, corrupt(x, kind, severity)))
        shares.append((1 - (a * b).sum(1) / (a * a).sum(1)).mean().item())
    return shares


@pytest.mark.parametrize(
    ("kind", "x"),
    [(kind, digits(200)) for kind in CORRUPTIONS]
    + [(kind, photos(n, side)) for kind in COMMON for n, side in ((150, 32), (8, 224))],
    ids=[f"{kind}-28" for kind in CORRUPTIONS] + [f"{kind}-{side}" for kind in COMMON for side in (32, 224)],
)
def test_what_is_severer_is_further_away(kind, x):
    effect = (faded if kind in FADES else distances)(x, kind)
    assert all(less <= 1.01 * more for less, more in pairwise(effect)), effect
    assert effect[0] < 0.8 * effect[4]


def test_the_catalogue_has_both_papers_kinds():
    assert len(COMMON) == len(MNIST_C) == 15
    assert set(COMMON) | set(MNIST_C) == set(CORRUPTIONS)
    assert set(CORRUPTIONS) - set(COMMON) == MNIST_ALONE
    for kind, corruption in CORRUPTIONS.items():
        assert set(corruption.constants) == ({28} if kind in MNIST_ALONE else {28, 32, 224})
        assert all(len(settings) == len(SEVERITIES) for settings in corruption.constants.values())


@pytest.mark.parametrize(
    ("side", "settings", "unit"), [(8, 28, 8 / 28), (28, 28, 1), (30, 32, 30 / 32), (64, 32, 2), (96, 224, 96 / 224)]
)
def test_settings_are_those_of_the_nearest_published_size(side, settings, unit):
    class Recorded(type(CORRUPTIONS["contrast"])):
        def corrupted(self, x, setting, unit, draws):
            return x.new_tensor([self.constants[settings].index(setting), unit]) / 10

    assert Recorded()(torch.zeros(1, 1, side, side + 7), 2, None).tolist() == pytest.approx([0.1, unit / 10])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": torch.zeros(2, 28, 28)}, "x must be images (B, C, H, W) of float32 or float64, got [2, 28, 28]"),
        ({"x": torch.zeros(2, 1, 28, 28, dtype=torch.uint8)}, "of torch.uint8"),
        ({"x": torch.zeros(2, 1, 7, 28)}, "at least 8 x 8 pixels, got [2, 1, 7, 28]"),
        ({"x": torch.full((2, 1, 28, 28), 1.5)}, "x must be in [0, 1], got values from 1.5 to 1.5"),
        ({"x": torch.full((2, 1, 28, 28), math.nan)}, "x must be in [0, 1]"),
        ({"kind": "motionblur"}, "did you mean motion_blur?"),
        ({"severity": 6}, "severity must be a whole number from 0 to 5, got 6"),
        ({"severity": -1}, "severity must be a whole number from 0 to 5, got -1"),
        ({"severity": 1.5}, "severity must be a whole number from 0 to 5, got 1.5"),
        ({"first": -1}, "first must be a whole number >= 0, got -1"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(change, said):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as told:
        corrupt(**{"x": torch.zeros(2, 1, 28, 28), "kind": "fog", "severity": 1} | change)
    assert said in str(told.value)


@every_kind
def test_an_empty_batch_stays_empty(kind):
    assert corrupt(torch.zeros(0, 1, 28, 28), kind, 3).shape == (0, 1, 28, 28)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(regnet.corruptions.__path__)])
def test_examples_of_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(f"regnet.corruptions.{name}")).failed == 0
