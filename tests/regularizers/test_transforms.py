"""What each batch transform does to a batch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chi2
from torch.distributions import Beta

from regnet.regularizers import FeatureNoise, LabelSmoothing, Mixup, ShiftFlip


@pytest.mark.parametrize("bad", ["1", None, True, float("nan"), -1, 1.0], ids=repr)
def test_shift_out_of_range(bad):
    with pytest.raises(ValueError, match="shift must be a whole number >= 0, got "):
        ShiftFlip(bad)


@pytest.mark.parametrize("bad", ["1", None, True, float("nan"), float("inf"), -0.1], ids=repr)
@pytest.mark.parametrize(("make", "name"), [(FeatureNoise, "noise"), (Mixup, "strength")])
def test_strength_out_of_range(make, name, bad):
    with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0, got "):
        make(bad)


def test_label_smoothing_needs_classes():
    with pytest.raises(ValueError, match="label smoothing needs classes, and this is a regression task"):
        LabelSmoothing(0.1)


@pytest.mark.parametrize("smoothing", [0, 0.1, 0.9])
def test_label_smoothing_against_torch(smoothing):
    logits, y = torch.randn(50, 7), torch.randint(7, (50,))
    x, smooth = LabelSmoothing(smoothing, num_classes=7)(torch.zeros(50, 2), y)
    expected = F.cross_entropy(logits, y, label_smoothing=smoothing)
    torch.testing.assert_close(F.cross_entropy(logits, smooth), expected, rtol=1e-6, atol=0)
    assert not x.any()


def test_label_smoothing_of_mixed_targets():
    y = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    _, smooth = LabelSmoothing(0.5, num_classes=2)(torch.zeros(2, 1), y)
    assert torch.equal(smooth, torch.tensor([[0.375, 0.625], [0.75, 0.25]]))


@pytest.mark.parametrize("strength", [0.2, 1.0, 4.0])
def test_mixup_by_hand(strength, rng):
    x = rng.normal(size=(6, 2, 3)).astype(np.float32)
    y = np.array([0, 2, 1, 1, 0, 2])
    torch.manual_seed(5)
    share = Beta(torch.tensor(strength), torch.tensor(strength)).sample().item()
    order = torch.randperm(6).numpy()
    assert 0 < share < 1
    assert (order != np.arange(6)).any()
    torch.manual_seed(5)
    new_x, new_y = Mixup(strength, num_classes=3)(torch.tensor(x), torch.tensor(y))
    np.testing.assert_allclose(new_x, share * x + (1 - share) * x[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(new_y, share * np.eye(3)[y] + (1 - share) * np.eye(3)[y][order], rtol=1e-5, atol=1e-6)


def test_mixup_of_real_targets():
    x = torch.randn(8, 3)
    new_x, new_y = Mixup(1.0)(x, x.sum(1))
    torch.testing.assert_close(new_y, new_x.sum(1))
    assert not torch.equal(new_x, x)


def test_mixup_of_strength_zero_is_no_mixing():
    x, y = torch.randn(8, 3), torch.arange(8) % 4
    for _ in range(20):
        new_x, new_y = Mixup(0, num_classes=4)(x, y)
        assert torch.equal(new_x, x)
        assert torch.equal(new_y, F.one_hot(y, 4).float())


@pytest.mark.parametrize("strength", [0.2, 1.0, 5.0])
def test_mixup_share_is_beta(strength):
    """Of Beta(α, α): mean ½, variance 1 / (4 (2α + 1)); within 5 standard errors."""
    x, y, mixup = torch.zeros(8, 1), torch.arange(8), Mixup(strength, num_classes=8)
    shares = torch.stack([mixup(x, y)[1].diagonal().min() for _ in range(3000)]).double()
    squares = (shares - 0.5).square()
    assert abs(shares.mean() - 0.5) < 5 * shares.std() / 3000**0.5
    assert abs(squares.mean() - 1 / (4 * (2 * strength + 1))) < 5 * squares.std() / 3000**0.5


@pytest.mark.parametrize("strength", [1e-8, 1e-3, 1e4])
def test_mixup_of_extreme_strength_is_finite(strength):
    mixup = Mixup(strength, num_classes=2)
    for _ in range(200):
        x, y = mixup(torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))
        assert torch.allclose(x, torch.ones(4, 2))
        assert torch.allclose(y.sum(1), torch.ones(4))


@pytest.mark.parametrize(("shift", "flip"), [(0, False), (0, True), (1, False), (1, True), (3, False)])
def test_shift_flip_gives_every_move_equally_often(shift, flip):
    image = np.arange(1.0, 25.0, dtype=np.float32).reshape(2, 3, 4)  # each pixel its own number
    moves = [
        np.pad(mirrored, ((0, 0), (shift,) * 2, (shift,) * 2))[:, i : i + 3, j : j + 4]
        for mirrored in ([image, image[..., ::-1]] if flip else [image])
        for i in range(2 * shift + 1)
        for j in range(2 * shift + 1)
    ]
    places = {move.tobytes(): i for i, move in enumerate(moves)}
    n = 100 * len(moves)
    y = torch.arange(n)
    new_x, new_y = ShiftFlip(shift, flip)(torch.tensor(image).expand(n, -1, -1, -1), y)
    assert torch.equal(new_y, y)
    found = [places[sample.tobytes()] for sample in new_x.numpy()]
    counts = np.bincount(found, minlength=len(moves))
    if shift < 3:  # a move by all 3 rows leaves nothing, whatever the columns
        assert len(places) == len(moves)
        assert chi2.sf(((counts - 100) ** 2 / 100).sum(), max(len(moves) - 1, 1)) > 1e-6


def test_shift_flip_of_nothing_is_the_identity():
    x, y = torch.randn(5, 2, 4, 3), torch.arange(5)
    assert torch.equal(ShiftFlip(0, False)(x, y)[0], x)


def test_feature_noise():
    """Gaussian of `noise` times each feature's own spread; missing stay missing, constants constant."""
    n = 40_000
    x = torch.randn(n, 4) * torch.tensor([1.0, 10.0, 0.01, 0.0]) + torch.tensor([0.0, 5.0, 1.0, 7.0])
    x[::4, 1] = float("nan")
    y = torch.randn(n)
    new_x, new_y = FeatureNoise(0.3)(x, y)
    noise = new_x - x
    assert torch.equal(new_y, y)
    assert torch.equal(new_x.isnan(), x.isnan())
    assert torch.equal(new_x[:, 3], x[:, 3])
    for column in range(3):
        present = ~x[:, column].isnan()
        change, values = noise[present, column].double().numpy(), x[present, column].double().numpy()
        sigma, m = 0.3 * values.std(), present.sum().item()
        assert change.std() == pytest.approx(sigma, rel=5 / (2 * m) ** 0.5)
        assert abs(change.mean()) < 5 * sigma / m**0.5
        assert abs(np.corrcoef(change, values)[0, 1]) < 5 / m**0.5


def test_feature_noise_of_zero_is_the_identity():
    x = torch.randn(6, 3)
    assert torch.equal(FeatureNoise(0)(x, x[:, 0])[0], x)
    assert torch.equal(FeatureNoise(0.5)(x[:1], x[:1, 0])[0], x[:1])  # one sample has no spread
    all_missing = torch.full((4, 2), float("nan"))
    assert FeatureNoise(0.5)(all_missing, x[:4, 0])[0].isnan().all()
