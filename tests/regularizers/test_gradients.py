"""What is done to gradients, and Lookahead: against torch's own and against the equations by hand."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regnet.core.tasks import Classification
from regnet.regularizers import (
    ASAM,
    SAM,
    CoupledDecay,
    GradientClipping,
    GradientNoise,
    Lookahead,
    MaxNorm,
    WeightDecay,
)
from regnet.training.module import RegularizedModule
from regnet.training.objective import Objective

OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "adam": partial(torch.optim.Adam, lr=0.01),
    "fused adam": partial(torch.optim.Adam, lr=0.01, fused=True),
}


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()


def batches(count):
    generator = torch.Generator().manual_seed(2)
    for _ in range(count):
        yield torch.randn(8, 5, generator=generator).double(), torch.randint(3, (8,), generator=generator)


def trained(net, optimizer, steps=20, each=lambda: None, after=lambda: None, closed=False):
    """`each` acts on the gradients before a step, `after` behind it; with a closure or without."""
    for x, y in batches(steps):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            each()
            return loss

        if closed:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        after()
    return nn.utils.parameters_to_vector(net.parameters()).detach()


def mine(update, make, **settings):
    net = network()
    optimizer = make(net.parameters())
    update.attach(optimizer, net)
    return trained(net, optimizer, **settings)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_clipping_is_torch_s(make, closed):
    net, norms = network(), []

    def clip():
        norms.append(nn.utils.clip_grad_norm_(net.parameters(), 0.8).item())

    theirs = trained(net, make(net.parameters()), each=clip)
    assert min(norms) < 0.8 < max(norms), "some of each"
    torch.testing.assert_close(mine(GradientClipping(0.8), make, closed=closed), theirs, rtol=1e-4, atol=1e-6)


def test_a_clipped_gradient_has_the_norm_and_a_smaller_one_stays_bitwise():
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    for radius, clipped in ((1e-3, True), (1e3, False)):
        optimizer.zero_grad()
        net(next(batches(1))[0]).square().sum().backward()
        before = [w.grad.clone() for w in net.parameters()]
        GradientClipping(radius)(net, optimizer)
        after = [w.grad for w in net.parameters()]
        norm = torch.cat([g.flatten() for g in after]).norm().item()
        assert (norm == pytest.approx(radius, rel=1e-6)) == clipped
        assert all(torch.equal(g, h) for g, h in zip(before, after, strict=True)) != clipped
    optimizer.zero_grad()
    GradientClipping(1.0)(net, optimizer)  # without gradients nothing happens
    assert all(w.grad is None for w in net.parameters())


def test_clipping_does_not_overflow_in_half_precision():
    net = nn.Linear(100, 100).half()
    net.weight.grad, net.bias.grad = torch.full_like(net.weight, 1000.0), torch.zeros_like(net.bias)
    GradientClipping(1.0)(net, torch.optim.SGD(net.parameters(), lr=0.1))
    assert net.weight.grad.double().norm().item() == pytest.approx(1.0, rel=1e-2)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_coupled_decay_is_torch_s_weight_decay_without_biases(make, closed):
    strength = 0.25  # a power of two, exact in float32
    net = network()
    weights, rest = ([w for w in net.parameters() if (w.ndim > 1) == matrix] for matrix in (True, False))
    theirs = trained(net, make([{"params": weights, "weight_decay": strength}, {"params": rest}]))
    torch.testing.assert_close(mine(CoupledDecay(strength), make, closed=closed), theirs, rtol=1e-9, atol=1e-12)
    assert (mine(WeightDecay(strength), make) - theirs).abs().max() > 1e-3


def test_coupled_decay_of_chosen_weights_with_factors():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = torch.optim.SGD([*net[0].parameters(), *net[1].parameters()], lr=1.0)
    for w in net.parameters():
        w.grad = torch.zeros_like(w)
    CoupledDecay(0.5, select=["*.weight", "0.bias"], scale={"0.weight": 0.5})(net, optimizer)
    assert torch.equal(net[0].weight.grad, 0.25 * net[0].weight)
    assert torch.equal(net[0].bias.grad, 0.5 * net[0].bias)
    assert torch.equal(net[1].weight.grad, 0.5 * net[1].weight)
    assert not net[1].bias.grad.any()
    assert not net[2].weight.grad.any()  # another optimizer's


def test_the_noise_has_the_variance_of_the_paper():
    layer = nn.Linear(400, 500, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    noise = GradientNoise(0.3, exponent=0.55)
    for t in range(6):
        layer.weight.grad = torch.full_like(layer.weight, 2.0)
        noise(layer, optimizer)
        found = layer.weight.grad.double() - 2.0
        sigma = (0.3 / (1 + t) ** 0.55) ** 0.5
        n = found.numel()
        assert abs(found.mean().item()) < 5 * sigma / n**0.5
        assert found.var().item() == pytest.approx(sigma**2, rel=5 * (2 / n) ** 0.5)
    assert noise.steps == 6


def test_noise_that_goes_on_from_a_checkpoint_has_its_step():
    again = GradientNoise(0.3)
    before = GradientNoise(0.3)
    before.steps.fill_(99)
    again.load_state_dict(before.state_dict())
    layer = nn.Linear(400, 500, bias=False)
    layer.weight.grad = torch.zeros_like(layer.weight)
    again(layer, torch.optim.SGD(layer.parameters(), lr=0.0))
    assert layer.weight.grad.var().item() == pytest.approx(0.3 / 100**0.55, rel=0.02)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(("ratio", "period"), [(0.5, 5), (0.75, 3), (1.0, 1)])
def test_lookahead_against_the_algorithm_by_hand(make, ratio, period, closed):
    net, steps = network(), 0
    slow = [w.detach().clone() for w in net.parameters()]

    def after():
        nonlocal steps
        steps += 1
        if steps % period == 0:
            with torch.no_grad():
                for i, w in enumerate(net.parameters()):
                    slow[i] = slow[i] + ratio * (w - slow[i])
                    w.copy_(slow[i])

    theirs = trained(net, make(net.parameters()), steps=17, after=after)
    torch.testing.assert_close(
        mine(Lookahead(ratio, period), make, steps=17, closed=closed), theirs, rtol=1e-9, atol=1e-12
    )


def test_lookahead_s_slow_weights_are_its_state():
    net = network()
    update = Lookahead(0.5, 5)
    update.begin(net)
    trained(net, torch.optim.SGD(net.parameters(), lr=0.1), steps=3)
    update.attach(torch.optim.SGD(net.parameters(), lr=0.1), net)  # keeps what it began with
    state = copy.deepcopy(update.state_dict())
    other = Lookahead(0.5, 5)
    other.begin(net)
    other.load_state_dict(state)
    start = list(network().parameters())
    for slow, w in zip(other.slow.buffers(), start, strict=True):
        assert torch.equal(slow, w)
        assert slow.dtype == torch.float64


@pytest.mark.parametrize("wrong", [0, 2.5, True])
def test_a_period_is_a_whole_number(wrong):
    with pytest.raises(ValueError, match="period"):
        Lookahead(0.5, wrong)


def test_updates_act_by_their_stage_whatever_the_order_of_choice():
    updates = [MaxNorm(1.0), Lookahead(), WeightDecay(0.1), GradientClipping(1.0), GradientNoise(0.1), SAM(0.1)]
    module = RegularizedModule(Objective(network(), Classification()), OPTIMIZERS["sgd"], updates=updates)
    assert list(module.updates) == updates[::-1]


def test_noise_is_clipped():
    net = network()
    updates = [GradientClipping(0.01), GradientNoise(100.0)]
    sgd = partial(torch.optim.SGD, lr=1.0)
    module = RegularizedModule(Objective(net, Classification()), sgd, updates=updates)
    optimizer = module.configure_optimizers()
    before = nn.utils.parameters_to_vector(net.parameters()).detach()
    trained(net, optimizer, steps=1)
    after = nn.utils.parameters_to_vector(net.parameters()).detach()
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("make", [GradientNoise, GradientClipping, CoupledDecay, SAM, ASAM])
def test_sparse_gradients_are_refused(make):
    net = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 2))
    with pytest.raises(ValueError, match=f"^{make.__name__} needs dense gradients: make 0 with sparse=False$"):
        make(0.1).attach(torch.optim.SGD(net.parameters(), lr=0.1), net)


def test_a_decay_shrinks_once_however_many_gradients_a_step_evaluates():
    """Where the loss is flat, LBFGS itself does not move."""
    net = nn.Linear(3, 2)
    start = net.weight.detach().clone()
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=4, tolerance_grad=-1, tolerance_change=-1)
    WeightDecay(0.5).attach(optimizer, net)
    evaluated = 0

    def closure():
        nonlocal evaluated
        evaluated += 1
        optimizer.zero_grad()
        loss = 0 * net(torch.ones(1, 3)).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert evaluated > 1
    torch.testing.assert_close(net.weight.detach(), 0.95 * start)
