"""What the penalties are equal to: an optimizer's weight decay, ridge and lasso regression."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Lasso, Ridge
from torch import nn

from regnet.regularizers import L1, L2, ElasticNet, LabelSmoothing, MaxNorm, WeightDecay

BAD = ["1", None, True, float("nan"), float("inf"), -1e-9, [1.0]]


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("make", [L1, L2, ElasticNet, WeightDecay])
def test_strength_out_of_range(make, bad):
    with pytest.raises(ValueError, match="strength must be a finite number >= 0, got "):
        make(bad)


@pytest.mark.parametrize("bad", [*BAD, 0, 0.0], ids=repr)
def test_radius_out_of_range(bad):
    with pytest.raises(ValueError, match="radius must be a finite number > 0, got "):
        MaxNorm(bad)


@pytest.mark.parametrize("bad", [*BAD, 1.1], ids=repr)
def test_ratio_out_of_range(bad):
    with pytest.raises(ValueError, match=r"l1_ratio must be in \[0, 1\], got "):
        ElasticNet(1e-4, bad)


@pytest.mark.parametrize("bad", [*BAD, 1, 1.0], ids=repr)
def test_smoothing_out_of_range(bad):
    with pytest.raises(ValueError, match=r"smoothing must be in \[0, 1\), got "):
        LabelSmoothing(bad, num_classes=3)


@pytest.mark.parametrize("ratio", [0, 0.25, 1])
def test_elastic_net_is_its_parts(ratio, every_kind):
    whole = ElasticNet(0.5, ratio)(every_kind)
    parts = ratio * L1(0.5)(every_kind) + (1 - ratio) * L2(0.5)(every_kind)
    assert whole.item() == pytest.approx(parts.item(), rel=1e-6)


def test_one_line_in_any_training_code():
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    x, y = torch.randn(4, 2, 3), torch.tensor([0, 1, 2, 0])
    loss = F.cross_entropy(net(x), y) + L2(1e-2)(net)
    (expected,) = torch.autograd.grad(F.cross_entropy(net(x), y), net[1].weight)
    loss.backward()
    torch.testing.assert_close(net[1].weight.grad, expected + 2e-2 * net[1].weight)


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, lr=0.1),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
        partial(torch.optim.Adam, lr=0.01),
    ],
    ids=["sgd", "momentum", "nesterov", "adam"],
)
def test_l2_is_coupled_weight_decay_of_twice_its_strength(optimizer):
    strength = 2.0**-7  # has no rounding
    x, y = torch.randn(100, 8, 5).double(), torch.randint(3, (100, 8))

    def trained(penalty, decay):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
        matrices, vectors = ([p for p in net.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False))
        step = optimizer([{"params": matrices, "weight_decay": decay}, {"params": vectors}])
        for batch, targets in zip(x, y, strict=True):
            step.zero_grad()
            (F.cross_entropy(net(batch), targets) + penalty(net)).backward()
            step.step()
        return nn.utils.parameters_to_vector(net.parameters()).detach()

    ours, theirs = trained(L2(strength), 0.0), trained(L2(0.0), 2 * strength)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert (ours - trained(L2(0.0), strength)).abs().max() > 1e-3  # the test can tell


@pytest.fixture
def regression(rng):
    x = rng.normal(size=(40, 6))
    y = x @ np.array([1.0, -2.0, 0.0, 0.0, 0.5, 0.0]) + 0.3 * rng.normal(size=40) + 1
    return x, y


def test_l2_gives_ridge_regression(regression):
    x, y = regression
    model = nn.Linear(6, 1).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, tolerance_grad=1e-12, tolerance_change=1e-16)
    strength = 2.0**-3

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(torch.tensor(x)).squeeze(1), torch.tensor(y)) + L2(strength)(model)
        loss.backward()
        return loss

    optimizer.step(closure)
    ridge = Ridge(alpha=len(y) * strength).fit(x, y)  # ||y - Xw||² + α||w||²: n times ours
    np.testing.assert_allclose(model.weight.detach().numpy()[0], ridge.coef_, rtol=1e-6)
    assert model.bias.item() == pytest.approx(ridge.intercept_, rel=1e-6)


def test_l1_gives_lasso_regression(regression):
    x, y = regression
    strength = 0.5
    lasso = Lasso(alpha=strength / 2, tol=1e-12, max_iter=100_000).fit(x, y)  # ||y - Xw||²/2n + α|w|: half of ours
    least = np.mean((y - lasso.predict(x)) ** 2) + strength * np.abs(lasso.coef_).sum()
    model, penalty = nn.Linear(6, 1).double(), L1(strength)
    x, y = torch.tensor(x), torch.tensor(y)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for _ in range(800):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x).squeeze(1), y) + penalty(model)
        loss.backward()
        optimizer.step()
        schedule.step()
    assert (lasso.coef_ == 0).any()
    assert least <= loss.item() <= least * (1 + 1e-4)
