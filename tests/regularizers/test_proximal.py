"""Proximal updates: their formulas against numerical minimization, their optima against scikit-learn and KKT."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import torch
import torch.nn.functional as F
from sklearn.linear_model import Lasso, LogisticRegression
from torch import nn
from torch.optim import SGD, Adam, AdamW

from regnet.core.weights import weight_statistics
from regnet.regularizers import ProximalGroupLasso, ProximalL0, ProximalL1
from regnet.regularizers.updates.proximal import group_soft_threshold, step_sizes

OPTIMIZERS = {
    "sgd": partial(SGD, lr=0.1),
    "momentum": partial(SGD, lr=0.03, momentum=0.8),
    "nesterov": partial(SGD, lr=0.03, momentum=0.8, nesterov=True),
    "dampening": partial(SGD, lr=0.1, momentum=0.8, dampening=0.5),
    "adam": partial(Adam, lr=0.02),
    "amsgrad": partial(Adam, lr=0.02, amsgrad=True),
    "adamw": partial(AdamW, lr=0.02, weight_decay=0.0, betas=(0.8, 0.99), eps=1e-3),
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
# that the step sizes are those of each optimizer is proved by itself; the optima of the others with the slow tests
optima = pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(make, id=name, marks=[] if name in ("sgd", "momentum", "adam") else pytest.mark.slow)
        for name, make in OPTIMIZERS.items()
    ],
)
some = pytest.mark.parametrize("optimizer", [OPTIMIZERS["momentum"], OPTIMIZERS["adam"]], ids=["momentum", "adam"])
both_metrics = pytest.mark.parametrize("same", [True, False], ids=["sgd", "adam"])


def steps_like(u, same):
    return torch.full_like(u, 0.3) if same else 10 ** (2 * torch.rand_like(u) - 1.5)


@both_metrics
@pytest.mark.parametrize("prox", [ProximalL1, ProximalL0])
def test_entrywise_formulas_minimize(prox, same):
    """Each entry by itself: the best of a fine grid, which 0 is one of."""
    u = torch.randn(1, 3, 4).double()
    step = steps_like(u, same)
    got = prox(1.0).prox(u, step)
    grid = np.union1d(np.linspace(-4, 4, 80_001), 0.0)
    measure = np.abs if prox is ProximalL1 else lambda w: (w != 0).astype(float)
    for w, start, eta in zip(got.flatten().tolist(), u.flatten().tolist(), step.flatten().tolist(), strict=True):
        candidates = np.append(grid, start)
        best = candidates[np.argmin((candidates - start) ** 2 / (2 * eta) + measure(candidates))]
        assert w == pytest.approx(best, abs=1e-4)
        assert (w == 0) == (best == 0)
    assert 0 < (got == 0).sum() < got.numel()


@both_metrics
@pytest.mark.parametrize("groups", ["output", "input"])
@pytest.mark.parametrize("shape", [(1, 5, 4), (2, 3, 2, 2, 2)], ids=["linear", "conv"])
def test_groups_minimize(shape, groups, same):
    axis = 1 if groups == "output" else 2
    u = torch.randn(shape).double()
    u.transpose(0, axis)[::2] *= 0.1  # some of which become zero
    step = steps_like(u, same)
    got = ProximalGroupLasso(1.0, groups).prox(u, step)
    slices = [(g, i) for g in range(shape[0]) for i in range(shape[axis])]
    zeros = 0
    for g, i in slices:
        w, start, eta = (t[g].select(axis - 1, i).flatten().numpy() for t in (got, u, step))

        def objective(w, start=start, eta=eta):
            return ((w - start) ** 2 / (2 * eta)).sum() + math.sqrt(len(w)) * np.linalg.norm(w)

        value = objective(w)
        found = scipy.optimize.minimize(objective, start, method="Powell", options={"xtol": 1e-9, "ftol": 1e-12})
        assert value <= min(found.fun, objective(np.zeros_like(start))) + 1e-9
        if w.any():  # differentiable there: the gradient is zero
            gradient = (w - start) / eta + math.sqrt(len(w)) * w / np.linalg.norm(w)
            assert np.abs(gradient).max() < 1e-10
        else:
            assert np.linalg.norm(start / eta) <= math.sqrt(len(w))
            zeros += 1
    assert 0 < zeros < len(slices)


def test_groups_at_the_ends():
    """No strength, weights of zero, step sizes of 12 orders of magnitude, in float32; divergence stays seen."""
    u = torch.randn(50, 8)
    assert torch.equal(group_soft_threshold(u, torch.zeros_like(u), [1]), u)
    assert torch.equal(group_soft_threshold(0 * u, torch.zeros_like(u), [1]), torch.zeros_like(u))
    b = 10 ** (12 * torch.rand(50, 8) - 9)
    w, exact = group_soft_threshold(u, b, [1]), group_soft_threshold(u.double(), b.double(), [1])
    torch.testing.assert_close(w.double(), exact, rtol=1e-5, atol=1e-12)
    assert w.isfinite().all()
    u[0, 0] = torch.nan
    for update in (ProximalL1(0.1), ProximalL0(0.1), ProximalGroupLasso(0.1)):
        assert update.prox(u[None], torch.ones_like(u)[None])[0, 0, 0].isnan()


@optimizers
def test_step_sizes_are_the_optimizers_own(optimizer):
    """Under a gradient that stays the same, each step comes to move by step times gradient."""
    w = nn.Parameter(torch.randn(4, 3).double())
    made = optimizer([w])
    gradient = torch.randn(4, 3).double()
    for _ in range(300):
        w.grad, before = gradient.clone(), w.detach().clone()
        made.step()
    torch.testing.assert_close(before - w.detach(), step_sizes(made, w) * gradient, rtol=1e-9, atol=1e-12)


def regression(rng, rows=60, columns=12):
    """Of many columns, few of which matter, and those not alike in scale."""
    x = rng.normal(size=(rows, columns)) * np.linspace(0.3, 2, columns)
    w = np.where(np.arange(columns) % 4 == 0, rng.normal(size=columns) + 1, 0.0)
    return x, x @ w + 0.5 + 0.3 * rng.normal(size=rows)


def minimized(loss, net, optimizer, update, steps=1500):
    """The optimum, at a learning rate that ends low."""
    made = optimizer(net.parameters())
    update.attach(made, net)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(made, steps, eta_min=1e-3 * made.defaults["lr"])
    for _ in range(steps):
        made.zero_grad()
        loss(net).backward()
        made.step()
        schedule.step()
    return net


@optima
def test_the_lasso(optimizer, rng):
    """scikit-learn: ||y - Xw||² / (2n) + alpha ||w||_1; the intercept is free."""
    x, y = regression(rng)
    reference = Lasso(alpha=0.2, tol=1e-12, max_iter=100_000).fit(x, y)
    inputs, targets = torch.tensor(x), torch.tensor(y)[:, None]
    net = minimized(
        lambda net: 0.5 * F.mse_loss(net(inputs), targets), nn.Linear(12, 1).double(), optimizer, ProximalL1(0.2)
    )
    w = net.weight.detach().numpy()[0]
    assert ((w == 0) == (reference.coef_ == 0)).all()
    assert 0 < (w == 0).sum() < len(w)
    np.testing.assert_allclose(w, reference.coef_, atol=1e-4)
    assert net.bias.item() == pytest.approx(reference.intercept_, abs=1e-4)
    assert weight_statistics(net)["zeros"] == (reference.coef_ == 0).mean()


@some
@pytest.mark.parametrize("groups", ["output", "input"])
def test_the_group_lasso_s_optimum(optimizer, groups, rng):
    """KKT: ||∂loss/∂w_g|| <= λ√|g| for groups of zeros; ∂loss/∂w_g = -λ√|g| w_g / ||w_g|| for the others."""
    strength, x = 0.15, torch.tensor(rng.normal(size=(80, 6)) * np.linspace(0.5, 2, 6))
    true = torch.tensor(rng.normal(size=(5, 6)))
    true[1:3], true[:, [0, 4]] = 0, 0
    y = x @ true.T + 0.2 * torch.tensor(rng.normal(size=(80, 5)))
    loss = lambda net: 0.5 * F.mse_loss(net(x), y, reduction="none").sum(1).mean()  # noqa: E731
    net = minimized(loss, nn.Linear(6, 5).double(), optimizer, ProximalGroupLasso(strength, groups))
    net.zero_grad()
    loss(net).backward()
    gradient, w = net.weight.grad, net.weight.detach()
    if groups == "input":
        gradient, w = gradient.T, w.T
    limit = strength * math.sqrt(w.shape[1])
    zero = (w == 0).all(1)
    assert 0 < zero.sum() < len(w)
    assert ((w == 0).any(1) == zero).all()
    assert (gradient[zero].norm(dim=1) <= limit * (1 + 1e-6)).all()
    torch.testing.assert_close(gradient[~zero], -limit * F.normalize(w[~zero], dim=1), rtol=0, atol=1e-4 * limit)


@some
def test_sparse_logistic_regression(optimizer, rng):
    """scikit-learn: C Σ log-loss + ||w||_1, so λ = 1 / (C n)."""
    x, score = regression(rng, rows=100)
    y = (score + rng.normal(size=100) > 0.5).astype(int)
    c = 0.2
    reference = LogisticRegression(C=c, l1_ratio=1.0, solver="saga", tol=1e-10, max_iter=100_000).fit(x, y)
    inputs, targets = torch.tensor(x), torch.tensor(y)[:, None].double()
    net = minimized(
        lambda net: F.binary_cross_entropy_with_logits(net(inputs), targets),
        nn.Linear(12, 1).double(),
        optimizer,
        ProximalL1(1 / (c * 100)),
        steps=3000,
    )
    w = net.weight.detach().numpy()
    assert ((w == 0) == (reference.coef_ == 0)).all()
    assert 0 < (w == 0).sum() < w.size
    np.testing.assert_allclose(w, reference.coef_, atol=1e-3)


def test_it_acts_once_per_step_on_what_was_moved():
    """Gradients accumulated over batches make one step; frozen, unselected and idle weights and biases stay."""
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    net[0].weight.requires_grad_(False)
    idle = nn.Linear(3, 3)
    both = nn.ModuleList([net, idle])
    before = copy.deepcopy(both)
    optimizer = SGD(both.parameters(), lr=0.5)
    handle = ProximalL1(0.1, scale={"*2.weight": 2.0}).attach(optimizer, both)
    for _ in range(3):
        (0.0 * net(torch.ones(1, 3))).sum().backward()
    optimizer.step()
    assert torch.equal(both[0][0].weight, before[0][0].weight)
    assert torch.equal(idle.weight, before[1].weight)
    assert torch.equal(net[1].bias, before[0][1].bias)
    torch.testing.assert_close(net[1].weight, F.softshrink(before[0][1].weight, 0.05))
    torch.testing.assert_close(net[2].weight, F.softshrink(before[0][2].weight, 0.10))
    handle.remove()
    now = net[1].weight.detach().clone()
    optimizer.step()
    assert torch.equal(net[1].weight, now)


def test_no_strength_is_the_bare_optimizer():
    net = nn.Linear(4, 3)
    bare = copy.deepcopy(net)
    made, other = Adam(net.parameters(), lr=0.1), Adam(bare.parameters(), lr=0.1)
    for update in (ProximalL1(0.0), ProximalL0(0.0), ProximalGroupLasso(0.0)):
        update.attach(made, net)
    for _ in range(3):
        for one, optimizer in ((net, made), (bare, other)):
            optimizer.zero_grad()
            one(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
    assert torch.equal(net.weight, bare.weight)


def test_an_optimizer_of_unknown_steps_is_refused():
    net = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="ProximalL1 follows the step sizes of SGD, Adam, AdamW, not those of RMSprop"):
        ProximalL1(0.1).attach(torch.optim.RMSprop(net.parameters()), net)


def test_groups_are_outputs_or_inputs():
    with pytest.raises(ValueError, match="groups must be output or input, got 'rows'"):
        ProximalGroupLasso(0.1, groups="rows")
