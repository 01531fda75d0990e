"""CutMix, and mixup or CutMix by turns; mixup by itself is in test_transforms."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch.distributions import Beta
from torchvision.transforms import v2

from regnet.regularizers import CutMix, Mixup, MixupOrCutMix


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_by_hand(seed, rng):
    x = rng.normal(size=(6, 2, 5, 9)).astype(np.float32)
    y = np.array([0, 2, 1, 1, 0, 2])
    torch.manual_seed(seed)
    share = Beta(torch.tensor(0.7), torch.tensor(0.7)).sample().item()
    order = torch.randperm(6).numpy()
    row, column = torch.randint(5, (1,)).item(), torch.randint(9, (1,)).item()
    height, width = round((1 - share) ** 0.5 * 5), round((1 - share) ** 0.5 * 9)
    top, left = row - height // 2, column - width // 2
    mixed, left_over = x.copy(), 45
    for i in range(5):
        for j in range(9):
            if top <= i < top + height and left <= j < left + width:
                mixed[:, :, i, j] = x[order][:, :, i, j]
                left_over -= 1
    torch.manual_seed(seed)
    new_x, new_y = CutMix(0.7, num_classes=3)(torch.tensor(x), torch.tensor(y))
    assert np.array_equal(new_x, mixed)
    left_over /= 45
    np.testing.assert_allclose(new_y, left_over * np.eye(3)[y] + (1 - left_over) * np.eye(3)[y][order], atol=1e-6)


def both(strength, num_classes=None):
    return MixupOrCutMix(strength, strength, num_classes=num_classes)


@pytest.mark.parametrize("kind", [CutMix, both])
def test_targets_are_mixed_as_the_pixels_are(kind):
    """Images of one value each: their mean is the mean of their targets, exactly."""
    transform, x = kind(1.0), torch.arange(6.0)[:, None, None, None].expand(-1, 3, 8, 8)
    shares = set()
    for _ in range(300):
        new_x, new_y = transform(x, x[:, 0, 0, 0])
        torch.testing.assert_close(new_y, new_x.mean((1, 2, 3)), atol=1e-5, rtol=0)
        shares.add(round(new_y.sub(x[:, 0, 0, 0]).abs().max().item(), 4))
    assert len(shares) > 20


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_share_of_cutmix_against_torchvision(strength):
    """The same distribution on images so large that whole pixels make no difference."""
    x, y = torch.zeros(2, 1, 300, 200), torch.eye(2)
    shares = []
    while len(shares) < 1000:
        new = CutMix(strength, num_classes=2)(x, y)[1]
        shares.append(new[0, 0].item())
    # a permutation of two may be none, which mixes nothing
    changed = [share for share in shares if share < 1]
    reference = v2.CutMix(alpha=strength, num_classes=2)
    expected = [share for share in (reference.make_params([x])["lam_adjusted"] for _ in range(2000)) if share < 1]
    assert ks_2samp(changed, expected).pvalue > 1e-3


def test_mixup_against_torchvision():
    x, y, share = torch.rand(4, 3, 5, 5), torch.eye(4), torch.tensor(0.3)
    reference = v2.MixUp(num_classes=4)
    params = {"labels": y, "lam": 0.3, "batch_size": 4}
    torch.testing.assert_close(Mixup.mix(x, x.roll(1, 0), share)[0], reference.transform(x, params))
    torch.testing.assert_close(Mixup.mix(y, y.roll(1, 0), share)[0], reference.transform(y, params))


EACH_ITS_VALUE = torch.arange(8.0)[:, None, None, None].expand(-1, 1, 32, 32)


def test_half_of_the_batches_are_mixup():
    transform, x = MixupOrCutMix(), EACH_ITS_VALUE
    blends = sum((transform(x, x)[0] % 1).any().item() for _ in range(1000))  # a box brings whole numbers
    assert abs(blends - 500) < 5 * 250**0.5


def test_so_many_batches_are_mixed_as_said():
    transform, x = MixupOrCutMix(1.0, 0.0, probability=0.4), EACH_ITS_VALUE
    mixed = sum(
        (not torch.equal(transform(x, x)[0], x)) for _ in range(2000)
    )  # those of mixup's half, as cutmix's is 0
    assert abs(mixed - 400) < 5 * 320**0.5


def test_each_of_the_two_has_its_own_strength():
    """Shares of mixup near ½ at α = 100, boxes of all sizes at α = 1; those of cutmix as by itself."""
    transform, x = MixupOrCutMix(100.0, 1.0), EACH_ITS_VALUE
    blended, boxed = [], []
    for _ in range(3000):
        new, _ = transform(x, x)
        if (new % 1).any():
            # x_i moves by (1 - m) (x_j - x_i), and x_j is another whole number
            step = (new - x)[:, 0, 0, 0].abs()
            blended.append(step[step > 0].min().item())
        elif not torch.equal(new, x):
            boxed.append((new != x).any(0).double().mean().item())
    alone = [(CutMix(1.0)(x, x)[0] != x).any(0).double().mean().item() for _ in range(1500)]
    assert min(blended) > 0.3
    assert ks_2samp(boxed, [share for share in alone if share]).pvalue > 1e-3


@pytest.mark.parametrize("kind", [CutMix, both])
def test_images_only(kind):
    for _ in range(10):  # whichever of the two it is
        with pytest.raises(ValueError, match=r"this is for images \(C, H, W\), and these samples have shape \(13,\)"):
            kind(1.0)(torch.zeros(4, 13), torch.zeros(4))


@pytest.mark.parametrize("strength", [1e-8, 1e4])
def test_extreme_strength(strength):
    for kind in (CutMix, both):
        for _ in range(50):
            x, y = kind(strength, num_classes=2)(torch.ones(4, 1, 3, 3), torch.tensor([0, 1, 0, 1]))
            assert torch.allclose(x, torch.ones_like(x))
            assert torch.allclose(y.sum(1), torch.ones(4))
