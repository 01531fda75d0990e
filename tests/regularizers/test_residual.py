"""Layers of residual branches: against torchvision, their formulas and the distributions of their factors."""

import copy

import pytest
import torch
from scipy.stats import kstest
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torchvision.models.resnet import BasicBlock
from torchvision.ops import stochastic_depth

from regnet import regularizers as R
from regnet.compose.build import build
from regnet.compose.sites import Site
from regnet.regularizers.layers.residual import shaken

SAMPLES = 20_000
RATES = [0.1, 0.5, 0.9]
TINY = 1e-6  # probability of an unlucky draw


def factors(layer, count=SAMPLES, dtype=torch.float64):
    """By what the layer multiplies each of `count` samples, forward and in the gradient, (count,) each."""
    x = (torch.rand(count, 2, 2, 2, dtype=dtype) + 0.5).requires_grad_()
    y = layer(x)
    assert y.dtype == dtype
    y.sum().backward()
    forward, backward = (y / x).detach(), x.grad
    for factor in (forward, backward):  # one for all of a sample
        torch.testing.assert_close(factor, factor[:, :1, :1, :1].expand_as(factor))
    return forward[:, 0, 0, 0], backward[:, 0, 0, 0]


def assert_share(events, rate):
    assert abs(events.double().mean() - rate) < 5 * (rate * (1 - rate) / len(events)) ** 0.5


@pytest.mark.parametrize("rate", RATES)
def test_drop_path_against_torchvision(rate):
    x = torch.rand(SAMPLES, 2, 1, 3, dtype=torch.float64) + 0.5
    means = []
    for drop in (R.DropPath(rate), lambda x: stochastic_depth(x, rate, "row")):
        factor = (drop(x) / x)[:, 0, 0, 0]
        assert_share(factor == 0, rate)
        torch.testing.assert_close(factor.max().item(), 1 / (1 - rate), rtol=2e-4, atol=0)  # r to a multiple of 2^-16
        means.append(factor.mean())
    assert abs(means[0] - means[1]) < 5 * (2 * rate / (1 - rate) / SAMPLES) ** 0.5


@pytest.mark.parametrize("rate", RATES)
def test_drop_path_drops_whole_samples_and_their_gradient(rate):
    forward, backward = factors(R.DropPath(rate))
    torch.testing.assert_close(forward, backward)
    assert_share(forward == 0, rate)
    assert len(backward.unique()) == 2
    together = (forward[1:] == 0) & (forward[:-1] == 0)  # neighbours are independent
    assert abs(together.double().mean() - rate**2) < 5 * rate / len(together) ** 0.5


@pytest.mark.parametrize("rate", RATES)
def test_shake_drop_factors(rate):
    """A share 1 - r passes as it is; the rest times α ~ U(-1, 1), its gradient times an independent β ~ U(0, 1)."""
    forward, backward = factors(R.ShakeDrop(rate))
    kept = forward == 1
    assert_share(~kept, rate)
    assert (backward[kept] == 1).all()
    alpha, beta = forward[~kept], backward[~kept]
    assert kstest(alpha.numpy(), "uniform", (-1, 2)).pvalue > TINY
    assert kstest(beta.numpy(), "uniform").pvalue > TINY
    assert abs(torch.corrcoef(torch.stack([alpha, beta]))[0, 1]) < 5 / len(alpha) ** 0.5
    # the expectation is what evaluation uses: the variance of b + α - bα is r (1 - r) + r / 3
    assert abs(forward.mean() - (1 - rate)) < 5 * ((rate * (1 - rate) + rate / 3) / SAMPLES) ** 0.5
    x = torch.randn(3, 4)
    torch.testing.assert_close(R.ShakeDrop(rate).eval()(x), (1 - rate) * x)


def test_shake_shake_shares():
    """α F₁ + (1 - α) F₂ forward; the gradients' shares are β and 1 - β, with β independent of α."""
    branches = torch.randn(2, SAMPLES, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    y = R.ShakeShake()(branches)
    y.sum().backward()
    first, second = branches.detach()
    alpha = ((y.detach() - second) / (first - second)).flatten(1)
    beta = branches.grad[0].flatten(1)
    torch.testing.assert_close(branches.grad[1].flatten(1), 1 - beta)
    for share in (alpha, beta):
        torch.testing.assert_close(share, share[:, :1].expand_as(share))
        assert kstest(share[:, 0].numpy(), "uniform").pvalue > TINY
    assert abs(torch.corrcoef(torch.stack([alpha[:, 0], beta[:, 0]]))[0, 1]) < 5 / SAMPLES**0.5
    torch.testing.assert_close(R.ShakeShake().eval()(branches), (first + second) / 2)


@pytest.mark.parametrize("number", [1, 3])
def test_shake_shake_takes_two_branches(number):
    with pytest.raises(ValueError, match=f"mixes two residual branches, and here are {number}"):
        R.ShakeShake()(torch.ones(number, 4, 3))


def test_shaken_is_one_factor_forward_and_another_backward():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    forward, backward = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    y = shaken(x, forward, backward)
    torch.testing.assert_close(y, forward * x)
    upstream = torch.randn(5, dtype=torch.float64)
    assert torch.equal(torch.autograd.grad(y, x, upstream)[0], upstream * backward)


def test_drop_path_is_the_identity_in_evaluation():
    x = torch.randn(3, 4, 2, 2)
    assert torch.equal(R.DropPath(0.5).eval()(x), x)


@pytest.mark.parametrize("layer", [R.DropPath, R.ShakeDrop])
def test_rate_zero_is_the_identity(layer):
    x = torch.randn(64, 3)
    assert torch.equal(layer(0.0)(x), x)
    assert torch.equal(layer(0.0).eval()(x), x)


@pytest.mark.parametrize("layer", [R.DropPath, R.ShakeDrop])
@pytest.mark.parametrize("bad", ["0.5", None, True, float("nan"), -0.1, 1, 1.5], ids=repr)
def test_rate_out_of_range(layer, bad):
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\), got "):
        layer(bad)


@pytest.mark.parametrize("layer", [R.DropPath, R.ShakeDrop])
def test_rate_is_state(layer):
    made = copy.deepcopy(layer(0.25))
    made.rate.fill_(0.75)  # in place, as schedules do
    forward, _ = factors(made)
    assert_share(forward != forward.max() if layer is R.DropPath else forward != 1, 0.75)
    fresh = layer(0.1)
    fresh.load_state_dict(made.state_dict())
    assert fresh.rate == 0.75
    assert "0.75" in repr(fresh)
    assert layer(0.999).bfloat16().rate.item() == 0.999  # which bfloat16 would round to 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_precision_and_shape_stay(dtype, training):
    x = torch.randn(2, 6, 3, 2, 2, dtype=dtype)
    for y in (R.DropPath(0.5).train(training)(x[0]), R.ShakeDrop(0.5).train(training)(x[0])):
        assert (y.dtype, y.shape) == (dtype, x[0].shape)
    y = R.ShakeShake().train(training)(x)
    assert (y.dtype, y.shape) == (dtype, x[0].shape)
    assert R.ShakeDrop(0.5).train(training)(x[0, :0]).shape == (0, 3, 2, 2)


@pytest.mark.parametrize("layer", [R.DropPath, R.ShakeDrop])
def test_stacked_networks_have_their_own_rates_and_draws(layer):
    rates = [0.1, 0.5, 0.8]
    _, buffers = stack_module_state([layer(rate) for rate in rates])
    x = torch.ones(SAMPLES, 2)
    model = layer(0.5)
    run = vmap(lambda own: functional_call(model, own, (x,)), randomness="different")
    whole = (run(buffers)[:, :, 0] - 1).abs() if layer is R.ShakeDrop else 1 - run(buffers)[:, :, 0]
    touched = whole > 0
    for row, rate in zip(touched, rates, strict=True):
        assert_share(row, rate)
    both = (touched[1] & touched[2]).double().mean()
    assert abs(both - 0.4) < 5 * (0.24 / SAMPLES) ** 0.5  # 0.5 · 0.8: independent of one another


def test_stacked_shake_shake_has_draws_for_each_network():
    branches = torch.stack([torch.ones(3, SAMPLES, 1), torch.zeros(3, SAMPLES, 1)], 1)  # (K, 2, B, 1)
    alpha = vmap(R.ShakeShake(), randomness="different")(branches)[:, :, 0]
    assert all(kstest(row.numpy(), "uniform").pvalue > TINY for row in alpha)
    assert (torch.corrcoef(alpha) - torch.eye(3)).abs().max() < 5 / SAMPLES**0.5


@pytest.mark.parametrize("name", ["drop_path", "shake_drop"])
@pytest.mark.parametrize("model", ["resnet", "residual_mlp"])
def test_linear_rule_in_the_order_of_the_blocks(name, model, compose_train):
    blocks = {"resnet": "[2,1]", "residual_mlp": "3"}[model]
    cfg = compose_train(f"model={model}", f"model.blocks={blocks}", f"regularizer={name}", "data.train_size=40")
    cfg.regularizer.drop_path.rate = 0.6
    network = build(cfg).module.objective.network
    called = []
    for module in network.modules():
        if isinstance(module, R.DropPath | R.ShakeDrop):
            module.register_forward_hook(lambda layer, *_: called.append(layer.rate.item()))
    network(torch.rand(2, *cfg.data.shape))
    assert called == pytest.approx([0.2, 0.4, 0.6])


def test_drop_path_behind_the_branches_of_another_network():
    """Where a sample is dropped, torchvision's block is relu(x)."""
    block = BasicBlock(3, 3)
    site = Site(R.DropPath(0.5), after="*.bn2")
    site.insert(nn.Sequential(block), "drop_path")
    site.finish()
    x = torch.randn(64, 3, 4, 4)
    dropped = (block(x) == x.relu()).flatten(1).all(1)
    assert 0.2 < dropped.double().mean() < 0.8
