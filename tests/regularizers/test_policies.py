"""Policies of random operations: torchvision's own, image by image."""

import random

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from regnet.regularizers import AugMix, AutoAugment, RandAugment, TrivialAugment
from regnet.regularizers.transforms.policies import Policy

PAIRS = [
    (RandAugment(1, 20), v2.RandAugment(1, 20)),
    (TrivialAugment(), v2.TrivialAugmentWide()),
    (AugMix(4, 2), v2.AugMix(4, 2)),
    (AutoAugment("svhn"), v2.AutoAugment(v2.AutoAugmentPolicy.SVHN)),
    (AutoAugment("cifar10"), v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
    (AutoAugment("imagenet"), v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)),
]
each_policy = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda value: type(value).__name__)


@each_policy
@pytest.mark.parametrize("channels", [1, 3])
def test_policy_against_torchvision(ours, theirs, channels):
    pixels = torch.randint(256, (40, channels, 9, 7), dtype=torch.uint8)
    torch.manual_seed(1)
    torch.rand(40)  # which images are changed: all
    expected = torch.stack([theirs(image) for image in pixels])
    torch.manual_seed(1)
    x, y = ours(pixels / 255, torch.arange(40))
    assert torch.equal(x, expected / 255)
    assert torch.equal(y, torch.arange(40))
    assert not torch.equal(expected, pixels)


@each_policy
def test_policy_draws_for_each_image(ours, theirs):
    x = torch.rand(1, 3, 9, 7).expand(40, -1, -1, -1)
    assert len({image.numpy().tobytes() for image in ours(x, x)[0]}) > 5


@each_policy
def test_policy_draws_from_torch_alone(ours, theirs):
    x, results, states = torch.rand(30, 3, 8, 8), [], []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(3)
        states.append((random.getstate(), np.random.get_state()[1].tolist()))
        results.append(ours(x, x)[0])
        assert (random.getstate(), np.random.get_state()[1].tolist()) == states[-1]
    assert torch.equal(*results)


def test_policy_changes_as_many_images_as_said():
    x = torch.rand(4000, 1, 1, 1)
    new, _ = Policy(lambda image: torch.zeros_like(image), 0.3)(x, x)
    changed = new == 0
    assert torch.equal(new[~changed], x[~changed])  # not even rounded
    assert abs(changed.float().mean() - 0.3) < 5 * (0.21 / 4000) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_policy_means_8_bit_images(dtype):
    pixels, seen = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8), []
    x = pixels.to(torch.promote_types(dtype, torch.float32)).div(255).to(dtype)
    new, _ = Policy(lambda image: seen.append(image) or image)(x, x)
    assert new.dtype == dtype
    if dtype != torch.bfloat16:
        assert torch.equal(torch.stack(seen), pixels)
        assert torch.equal(new, x)
    wild = torch.tensor([-1.0, 0.3, 2.0]).reshape(1, 1, 1, 3).to(dtype)
    clipped = Policy(lambda image: image)(wild, wild)[0].double().flatten()
    torch.testing.assert_close(clipped, torch.tensor([0, 0.3, 1]).double(), atol=2e-3 + 0.3 * 2**-8, rtol=0)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: RandAugment(-1), "num_ops must be a whole number >= 0, got -1"),
        (lambda: RandAugment(2, 31), "magnitude must be a whole number from 0 to 30, got 31"),
        (lambda: RandAugment(2, 1.5), r"magnitude must be a whole number from 0 to 30, got 1\.5"),
        (lambda: AugMix(11), "severity must be a whole number from 1 to 10, got 11"),
        (lambda: AugMix(1, 0), "width must be a whole number >= 1, got 0"),
        (lambda: AutoAugment(None), "policy must be one of cifar10, imagenet, svhn, got None; .*trivial_augment"),
        (lambda: TrivialAugment(2), r"probability must be in \[0, 1\], got 2"),
        (lambda: TrivialAugment()(torch.zeros(2, 13), None), r"is for images \(C, H, W\), .* have shape \(13,\)"),
        (lambda: TrivialAugment()(torch.zeros(2, 2, 8, 8), None), "images of 1 or 3 channels, and these have 2"),
    ],
)
def test_policy_out_of_range(make, told):
    with pytest.raises(ValueError, match=told):
        make()
