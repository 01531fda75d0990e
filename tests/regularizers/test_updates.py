"""What the updates are equal to: AdamW's decay, Keras's max-norm."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regnet.regularizers import CoupledDecay, MaxNorm, WeightDecay


def fitted(make_optimizer, decay, how):
    """100 steps, `how` the training loop calls the optimizer."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
    optimizer = make_optimizer(net)
    if decay is not None:
        decay.attach(optimizer, net)
    for x, y in zip(torch.randn(100, 8, 5).double(), torch.randint(3, (100, 8)), strict=True):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            # a decay before the gradient would show: the loss is curved in the weights
            loss = F.cross_entropy(net(x), y) + sum(w.square().square().sum() for w in net.parameters())
            loss.backward()
            return loss

        if how == "bare":
            closure()
            optimizer.step()
        else:
            loss = optimizer.step(closure) if how == "closure" else optimizer.step(closure=closure)
            assert loss.isfinite()
    return nn.utils.parameters_to_vector(net.parameters()).detach()


@pytest.mark.parametrize("how", ["bare", "closure", "closure by name"])  # Lightning: by name
@pytest.mark.parametrize("fused", [False, True])
def test_weight_decay_with_adam_is_adamw_without_biases(how, fused):
    rate, strength = 2.0**-7, 2.0**-2  # have no rounding

    def adamw(net):
        matrices, vectors = ([p for p in net.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False))
        groups = [{"params": matrices, "weight_decay": strength}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=rate, fused=fused)

    def adam(net):
        return torch.optim.Adam(net.parameters(), lr=rate, fused=fused)

    theirs = fitted(adamw, None, "bare")
    torch.testing.assert_close(fitted(adam, WeightDecay(strength), how), theirs, rtol=1e-9, atol=1e-12)
    assert (fitted(adam, None, how) - theirs).abs().max() > 1e-3


def test_weight_decay_follows_each_group_s_learning_rate():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    before = [layer.weight.detach().clone() for layer in net]
    groups = [{"params": net[0].parameters(), "lr": 0.5}, {"params": net[1].parameters(), "lr": torch.tensor(0.25)}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    decay = WeightDecay(0.5)
    decay.attach(optimizer, net)
    (0 * net(torch.ones(1, 2))).sum().backward()  # gradients of zero: the decay alone
    optimizer.step()
    assert torch.equal(net[0].weight, 0.75 * before[0])
    assert torch.equal(net[1].weight, 0.875 * before[1])
    assert torch.equal(net[2].weight, before[2])  # not this optimizer's
    decay.strength.fill_(0.0)
    optimizer.step()
    assert torch.equal(net[0].weight, 0.75 * before[0])


def test_weight_decay_of_chosen_weights_can_be_detached():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[0].weight.requires_grad_(False)  # frozen
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    before = [p.detach().clone() for p in net.parameters()]
    handle = WeightDecay(0.5, select=["0.weight", "1.bias"]).attach(optimizer, net)
    (0 * net(torch.ones(1, 2))).sum().backward()
    optimizer.step()
    expected = [*before[:3], 0.5 * before[3]]
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), expected, strict=True))
    handle.remove()
    optimizer.step()
    assert torch.equal(net[1].bias, expected[3])


@pytest.mark.parametrize("kind", [WeightDecay, CoupledDecay])
def test_what_has_no_gradient_does_not_decay_as_under_adamw(kind):
    """A branch that the loss does not use, and a layer that is frozen until the second step."""
    net = nn.ModuleDict({name: nn.Linear(2, 2, bias=False) for name in ("used", "idle", "frozen")}).double()
    net["frozen"].weight.requires_grad_(False)
    theirs = copy.deepcopy(net)
    rate, strength = 2.0**-3, 2.0**-1  # have no rounding
    adam = torch.optim.AdamW if kind is WeightDecay else torch.optim.Adam
    reference = adam(theirs.parameters(), lr=rate, weight_decay=strength)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    kind(strength).attach(optimizer, net)
    before = copy.deepcopy(net)
    for frozen in (True, False):
        for one, made in ((net, optimizer), (theirs, reference)):
            one["frozen"].weight.requires_grad_(not frozen)
            made.zero_grad()
            one["frozen"](one["used"](torch.ones(1, 2).double())).square().sum().backward()
            made.step()
        assert torch.equal(net["idle"].weight, before["idle"].weight)
        assert torch.equal(net["frozen"].weight, before["frozen"].weight) == frozen
    for mine, its in zip(net.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-12, atol=1e-12)


def test_max_norm_against_keras():
    """Keras: w * clip(norms, 0, max_value) / (epsilon + norms), axis=0 for Dense, (0, 1, 2) for Conv2D."""

    def keras(w, axis):
        norms = np.sqrt((w**2).sum(axis, keepdims=True))
        return w * np.clip(norms, 0, 1.5) / (1e-7 + norms)

    for layer, to_keras in ((nn.Linear(7, 5), (1, 0)), (nn.Conv2d(3, 5, 2), (2, 3, 1, 0))):
        nn.init.normal_(layer.weight, std=0.5)
        w = layer.weight.detach().numpy().transpose(to_keras)
        axis = tuple(range(w.ndim - 1))
        norms = np.sqrt((w**2).sum(axis))
        assert norms.min() < 1.5 < norms.max(), "some of each"
        expected = keras(w, axis)
        MaxNorm(1.5)(layer)
        np.testing.assert_allclose(layer.weight.detach().numpy().transpose(to_keras), expected, rtol=1e-5)


def test_max_norm_of_a_bias_is_per_unit():
    layer = nn.Linear(2, 3)
    layer.bias.data = torch.tensor([3.0, -0.5, -2.0])
    MaxNorm(1.0, select="bias")(layer)
    assert layer.bias.tolist() == [1.0, -0.5, -1.0]


def test_max_norm_of_half_precision_does_not_overflow():
    layer = nn.Linear(300, 2).half()
    nn.init.constant_(layer.weight, 5000.0)  # ||w|| = 86,603, above float16's 65,504
    MaxNorm(3.0)(layer)
    norms = layer.weight.detach().double().norm(dim=1)
    torch.testing.assert_close(norms, torch.full((2,), 3.0).double(), rtol=2**-10, atol=0)
