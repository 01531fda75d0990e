"""The variants of dropout against torch, torchvision, enumeration and closed forms."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import drop_block2d

from regnet.regularizers import AlphaDropout, ConcreteDropout, DropBlock, Dropout, GaussianDropout

# --- dropout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.25, 0.5, 0.875])
def test_dropout_of_inputs_is_ridge_by_enumeration_and_by_sampling(p, rng, monkeypatch):
    """E||y - (R∘X)w||² = ||y - pXw||² + p(1-p)||diag(XᵀX)^½ w||², R ~ Bernoulli(p) (Srivastava et al. 2014, 9.1).

    Our layer's is R/p, and so takes w p in place of w. First all 2^12 masks of an X of 3 samples, put into the layer
    as its random words; then masks as they are drawn.
    """
    x, w, y = (torch.tensor(rng.normal(size=size)) for size in ((3, 4), 4, 3))
    expected = (y - p * x @ w).square().sum() + p * (1 - p) * ((x.T @ x).diag().sqrt() * w).square().sum()

    def losses(count):
        return (y - Dropout(1 - p)(x.expand(count, -1, -1)) @ (p * w)).square().sum(1)

    sampled = losses(100_000)
    assert abs(sampled.mean() - expected) < 5 * sampled.std() / 100_000**0.5

    masks = torch.tensor(list(product([0, 1], repeat=12)))  # (4096, 12)
    lanes = torch.where(masks == 1, 2**15 - 1, -(2**15)).to(torch.int16)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: lanes.flatten().view(torch.int64))
    chances = (masks * p + (1 - masks) * (1 - p)).double().prod(1)
    torch.testing.assert_close((chances * losses(4096)).sum(), expected, rtol=1e-9, atol=0)


# --- Gaussian dropout --------------------------------------------------------------------------------------------


def test_gaussian_dropout_is_gaussian():
    factor = GaussianDropout(0.2)(torch.ones(200_000)).double()
    z = (factor - 1) / 0.5  # σ² = 0.2 / 0.8
    quantiles = torch.quantile(z, torch.tensor([0.02, 0.16, 0.5, 0.84, 0.98], dtype=torch.double))
    normal = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor([0.02, 0.16, 0.5, 0.84, 0.98])).double()
    torch.testing.assert_close(quantiles, normal, rtol=0, atol=0.03)


# --- alpha dropout -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.125, 0.5, 0.75])
@pytest.mark.parametrize("value", [-2.0, 0.0, 1.5])
def test_alpha_dropout_has_the_two_values_of_torch(rate, value):
    """Kept and dropped, each as often as it should be."""
    x = torch.full((10_000,), value)
    (ours, count), (theirs, _) = (
        layer(x).unique(return_counts=True) for layer in (AlphaDropout(rate), nn.AlphaDropout(rate))
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    dropped = count[0 if value > AlphaDropout.SATURATION else 1]
    assert abs(dropped - 10_000 * rate) < 5 * (10_000 * rate * (1 - rate)) ** 0.5


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_alpha_dropout_keeps_mean_and_variance_through_a_deep_selu_network(rate):
    """Weights of variance 1/n: the fixed point (0, 1) of the paper; the same with nn.AlphaDropout."""
    for layer in (AlphaDropout(rate), nn.AlphaDropout(rate)):
        x = torch.randn(500, 400)
        for _ in range(8):
            x = layer(F.selu(x @ (torch.randn(400, 400) / 20)))
        assert abs(x.mean()) < 0.1
        assert abs(x.var() - 1) < 0.15


# --- DropBlock ---------------------------------------------------------------------------------------------------


def expected_share(rate, size, block):
    """Of dropped pixels: 1 - (1 - γ)^n where n squares could cover the pixel; the mean over the map."""
    gamma = rate / block**2 * size**2 / (size - block + 1) ** 2
    line = [min(i, size - block) - max(0, i - block + 1) + 1 for i in range(size)]
    return sum(1 - (1 - gamma) ** (a * b) for a in line for b in line) / size**2


@pytest.mark.parametrize(("size", "block"), [(8, 3), (7, 7), (9, 5), (6, 1)])
def test_dropblock_drops_the_expected_share_and_as_torchvision(size, block):
    rate, maps = 0.3, 20_000
    x = torch.rand(100, maps // 100, size, size) + 0.5
    shares = []
    for y in (DropBlock(rate, block)(x), drop_block2d(x, rate, block)):
        dropped = y == 0
        scale = (y / x)[~dropped]
        torch.testing.assert_close(scale, torch.full_like(scale, 1 / (1 - dropped.float().mean())), rtol=1e-4, atol=0)
        shares.append(dropped.double().mean((2, 3)))
    allowed = [5 * share.std() / maps**0.5 for share in shares]
    assert abs(shares[0].mean() - expected_share(rate, size, block)) < allowed[0]
    assert abs(shares[0].mean() - shares[1].mean()) < sum(allowed)


@pytest.mark.parametrize(("size", "block"), [(9, 4), (5, 2), (3, 2)])
def test_dropblock_of_even_sides_drops_the_expected_share(size, block):
    """torchvision has none."""
    share = (DropBlock(0.3, block)(torch.ones(100, 200, size, size)) == 0).double().mean((2, 3))
    assert abs(share.mean() - expected_share(0.3, size, block)) < 5 * share.std() / 20_000**0.5


@pytest.mark.parametrize(("height", "width", "block"), [(6, 6, 3), (5, 8, 2), (4, 7, 4), (3, 8, 5)])
def test_dropblock_drops_whole_squares_inside_the_map(height, width, block):
    dropped = DropBlock(0.05, block)(torch.ones(400, 5, height, width)) == 0
    tall, wide = min(block, height), min(block, width)
    # erosion and dilation by the square leave what is a union of squares
    whole = F.max_pool2d(-(dropped.float()), (tall, wide), stride=1) == -1  # squares that are dropped as a whole
    union = F.conv_transpose2d(whole.flatten(0, 1)[:, None].float(), torch.ones(1, 1, tall, wide))[:, 0] > 0
    assert torch.equal(union, dropped.flatten(0, 1))
    counts = dropped.sum((2, 3))
    assert ((counts == 0) | (counts >= tall * wide)).all()
    assert (counts == tall * wide).any()
    assert (counts == 0).any()


def test_dropblock_of_everything_is_zero_and_finite():
    y = DropBlock(1 - 2**-24, 2)(torch.ones(2, 2, 2, 2))
    assert torch.equal(y, torch.zeros_like(y))


@pytest.mark.parametrize("block_size", [0, -1, 2.0, None, True])
def test_dropblock_of_no_size(block_size):
    with pytest.raises(ValueError, match=r"block_size must be a whole number >= 1, got"):
        DropBlock(0.1, block_size)


def test_dropblock_of_no_maps():
    with pytest.raises(ValueError, match=r"feature maps \(B, C, H, W\), and these have shape \(3, 4\)"):
        DropBlock(0.1).eval()(torch.ones(3, 4))


# --- concrete dropout --------------------------------------------------------------------------------------------


def binary_entropy(p):
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


# 16 features; of each of 5 tokens; 16 channels of 2 x 3 pixels: the inputs of a Linear and of a Conv2d behind
@pytest.mark.parametrize("shape", [(7, 16), (7, 5, 16), (7, 16, 2, 3)])
@pytest.mark.parametrize("rate", [1e-4, 0.1, 0.5, 0.9])
def test_the_penalty_of_concrete_dropout(rate, shape):
    layer = ConcreteDropout(rate, strength=3.0, num_samples=200)
    assert layer.rate.item() == pytest.approx(rate, rel=1e-5)
    layer.eval()(torch.ones(shape))
    penalty = layer.penalty()
    assert penalty.item() == pytest.approx(-3.0 * 16 * binary_entropy(rate) / 200, rel=1e-5)
    penalty.backward()  # dH/dlogit = p (1 - p) log((1 - p) / p)
    slope = -3.0 * 16 / 200 * rate * (1 - rate) * math.log((1 - rate) / rate)
    assert layer.logit.grad.item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_the_penalty_of_concrete_dropout_at_the_ends_is_finite():
    for logit in (-200.0, 200.0):
        layer = ConcreteDropout()
        layer.logit.data.fill_(logit)
        layer(torch.ones(2, 3)).sum().backward()
        layer.penalty().backward()
        assert layer.penalty() == 0
        if logit < 0:
            assert layer.logit.grad.isfinite()


def test_the_gradient_of_concrete_dropout_is_that_of_its_formula():
    """Through the relaxed mask: NumPy-like central differences with the same uniforms."""
    x = torch.rand(50, 40, dtype=torch.double)

    def loss(logit):
        torch.manual_seed(2)
        u = torch.rand(x.shape, dtype=torch.double)
        p = 1 / (1 + math.exp(-logit))
        z = torch.sigmoid((math.log(p) - math.log(1 - p) + u.log() - (1 - u).log()) / 0.1)
        return (x * (1 - z) / (1 - p)).square().mean().item()

    layer = ConcreteDropout(0.2).double()
    # the layer writes u for the paper's 1 - u, which has the same distribution
    with pytest.MonkeyPatch.context() as patch:
        rand = torch.rand
        patch.setattr(torch, "rand", lambda *a, **k: 1 - rand(*a, **k))
        torch.manual_seed(2)
        value = layer(x).square().mean()
    value.backward()
    logit, step = layer.logit.item(), 1e-5
    assert value.item() == pytest.approx(loss(logit), rel=1e-9)
    assert layer.logit.grad.item() == pytest.approx((loss(logit + step) - loss(logit - step)) / (2 * step), rel=1e-5)


def test_concrete_dropout_learns_whether_its_inputs_matter():
    """p goes to 0.5 where nothing depends on the output, and to what balances the two terms where the loss does."""
    x = torch.randn(256, 8)
    used, idle = ConcreteDropout(0.3, 1.0, 256), ConcreteDropout(0.3, 1.0, 256)
    optimizer = torch.optim.Adam([*used.parameters(), *idle.parameters()], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = 0.5 * (used(x) - x).square().sum(1).mean() + 0 * idle(x).sum()
        (loss + used.penalty() + idle.penalty()).backward()
        optimizer.step()
    assert idle.rate.item() == pytest.approx(0.5, abs=0.02)
    assert used.rate < 0.05


@pytest.mark.parametrize("bad", [0, 0.0, 1, -0.1, "0.5"])
def test_concrete_dropout_cannot_start_at_the_ends(bad):
    with pytest.raises(ValueError, match="rate must be "):
        ConcreteDropout(bad)


@pytest.mark.parametrize("bad", [0, -3, 2.5, None, True])
def test_concrete_dropout_of_no_samples(bad):
    with pytest.raises(ValueError, match="num_samples must be a whole number >= 1, got"):
        ConcreteDropout(0.1, num_samples=bad)
