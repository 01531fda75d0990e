"""What is frozen stays as it is under every regularizer, as long as it is frozen; tied and lazy ones count once."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from regnet import regularizers as R
from regnet.commands.inspect import acting_on, roles
from regnet.compose.build import build
from regnet.core.errors import UserError
from regnet.core.weights import weight_statistics, weights
from tests.helpers.table import UPDATES, WEIGHT_LAYERS, each, penalties


class Network(nn.Module):
    """Two layers that are trained, between them a frozen one; and a teacher that only its owner moves."""

    def __init__(self):
        super().__init__()
        self.first, self.frozen, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.teacher = nn.Linear(3, 3)
        self.frozen.requires_grad_(False)
        self.teacher.requires_grad_(False)

    def forward(self, x):
        return self.last(self.frozen(self.first(x)))


def step(network, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = network(torch.ones(4, 3)).square().sum()
        loss.backward()
        return loss

    return optimizer.step(closure)


@pytest.mark.parametrize("name", UPDATES)
def test_no_update_moves_what_is_frozen(name):
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    UPDATES[name].make().attach(optimizer, network)
    before = copy.deepcopy(network)
    for i in range(4):
        with torch.no_grad():
            network.teacher.weight.fill_(float(i))  # by its owner
        step(network, optimizer)
        assert torch.equal(network.teacher.weight, torch.full((3, 3), float(i)))
    assert torch.equal(network.frozen.weight, before.frozen.weight)
    assert not torch.equal(network.first.weight, before.first.weight)
    network.frozen.requires_grad_(True)
    for _ in range(2):
        step(network, optimizer)
    assert not torch.equal(network.frozen.weight, before.frozen.weight)


@each(R.Constraint)
def test_a_constraint_holds_from_the_step_after_the_unfreezing(row):
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with torch.no_grad():
        network.frozen.weight.normal_()
    before = network.frozen.weight.detach().clone()
    row.make().attach(optimizer, network)
    step(network, optimizer)
    assert torch.equal(network.frozen.weight, before)
    assert not row.reference(before.double().numpy())
    network.frozen.requires_grad_(True)
    step(network, optimizer)
    assert row.reference(network.frozen.weight.detach().double().numpy())


def test_lookahead_begins_where_an_unfrozen_weight_is():
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    R.Lookahead(0.5, 2).attach(optimizer, network)
    step(network, optimizer)
    with torch.no_grad():
        network.frozen.weight.fill_(0.25)
    step(network, optimizer)
    network.frozen.requires_grad_(True)
    slow = fast = network.frozen.weight.detach().clone()
    for number in (3, 4):
        optimizer.zero_grad()
        network(torch.ones(4, 3)).square().sum().backward()
        fast = fast - 0.1 * network.frozen.weight.grad
        optimizer.step()
        if number == 4:
            fast = slow + 0.5 * (fast - slow)
        torch.testing.assert_close(network.frozen.weight.detach(), fast)


@penalties(R.WeightPenalty)
def test_a_penalty_counts_what_is_trained_at_the_time(row):
    network = Network()
    penalty = row.make(0.5)
    if isinstance(penalty, R.L2SP):
        penalty.begin(network)
        with torch.no_grad():
            for w in network.parameters():
                w.add_(0.3)
    parts = {name: penalty_of(row, penalty, network, name) for name in ("first", "last", "frozen", "teacher")}
    assert penalty(network).item() == pytest.approx(parts["first"] + parts["last"], rel=1e-5)
    network.frozen.requires_grad_(True)
    assert penalty(network).item() == pytest.approx(parts["first"] + parts["last"] + parts["frozen"], rel=1e-5)
    network.requires_grad_(False)
    assert penalty(network).item() == 0
    assert penalty(network).shape == ()


def penalty_of(row, penalty, network, name):
    """Of one layer alone, by a copy in which only that is trained."""
    alone = copy.deepcopy(network).requires_grad_(False)
    alone.get_submodule(name).requires_grad_(True)
    own = copy.deepcopy(penalty)
    own.select = f"{name}.weight"
    return own(alone).item()


def test_places_do_not_shift_when_a_layer_is_frozen():
    network = Network()
    norms = [w.tensor.detach().square().sum().item() for w in weights(network, frozen=True)]
    value = R.L2(1.0, scale={"layer:0": 10, "layer:1": 100, "layer:2": 1000})(network)
    assert value.item() == pytest.approx(10 * norms[0] + 1000 * norms[2], rel=1e-5)
    assert R.L2(1.0, select="layer:1")(network).item() == 0
    assert [w.name for w in weights(network, "layer:1", frozen=True)] == ["frozen.weight"]


def test_the_statistics_are_of_the_whole_network():
    network = Network()
    every = torch.cat([p.detach().flatten() for name, p in network.named_parameters() if "weight" in name])
    assert weight_statistics(network)["norm"] == pytest.approx(every.norm().item(), rel=1e-6)


@pytest.mark.parametrize("name", WEIGHT_LAYERS)
def test_weight_layers_are_put_on_what_is_trained(name):
    network = Network()
    WEIGHT_LAYERS[name].make().put_on(network)
    assert [key for key, module in network.named_modules() if isinstance(module, R.WeightLayer)] == [
        f"{layer}.parametrizations.weight.0" for layer in ("first", "last")
    ]
    with pytest.raises(ValueError, match=r"no weights to act on: frozen\.weight have requires_grad=False"):
        WEIGHT_LAYERS[name].make(select="frozen.weight").put_on(network)


def test_each_optimizer_of_two_acts_on_its_own():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = copy.deepcopy(network)
    optimizers = [torch.optim.SGD(layer.parameters(), lr=lr) for layer, lr in zip(network, (0.5, 0.25), strict=True)]
    proximal = R.ProximalL1(0.1)
    for optimizer in optimizers:
        proximal.attach(optimizer, network)
    (0 * network(torch.ones(1, 2))).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    for layer, start, lr in zip(network, before, (0.5, 0.25), strict=True):
        torch.testing.assert_close(layer.weight, nn.functional.softshrink(start.weight, 0.1 * lr))


class Built(nn.Module):
    """What the tests of `build` train: a layer frozen by the constructor, and one whose inputs are found later."""

    def __init__(self, num_outputs, lazy=False):
        super().__init__()
        self.flat, self.frozen = nn.Flatten(), nn.Linear(64, 8).requires_grad_(False)
        self.table = nn.Parameter(torch.randn(1, 8))
        self.head = nn.LazyLinear(num_outputs) if lazy else nn.Linear(8, num_outputs)

    def forward(self, x):
        return self.head(self.frozen(self.flat(x)) + self.table)


@pytest.fixture
def built(compose_train):
    target = f"model._target_={__name__}.Built"
    settings = ["~model.widths", target, "folder=runs"]
    return lambda *overrides: build(compose_train(*settings, *overrides), [target, *overrides])


def test_a_choice_of_frozen_weights_alone_is_refused(built):
    for chosen in ("l2", "max_norm", "weight_decay", "proximal_l1", "l2_sp"):
        with pytest.raises(
            UserError, match=rf"regularizer\.{chosen} has nothing to act on: model\.frozen\.weight are fro"
        ):
            built(f"regularizer={chosen}", f"++regularizer.{chosen}.select=model.frozen.weight")
    with pytest.raises(
        UserError, match=r"regularizer\.drop_connect: the network has no weights to act on: model\.frozen"
    ):
        built("regularizer=drop_connect", "regularizer.drop_connect.select=model.frozen.weight")


def test_what_the_rule_decided_is_shown(built):
    setup = built("regularizer=[l2,max_norm]", "+optimizer.weight_decay=0.1")
    assert roles(setup) == {
        "model.table": "broadcast",
        "model.frozen.weight": "weight, frozen",
        "model.frozen.bias": "bias, frozen",
        "model.head.weight": "weight",
        "model.head.bias": "bias",
    }
    acting = {key: [name for name, _ in found] for key, found in acting_on(setup).items()}
    assert acting == {
        "model.table": ["optimizer.weight_decay"],
        "model.frozen.weight": [],
        "model.frozen.bias": [],
        "model.head.weight": ["l2", "max_norm", "optimizer.weight_decay"],
        "model.head.bias": ["optimizer.weight_decay"],
    }


@pytest.mark.parametrize("chosen", ["drop_connect", "l0", "variational_dropout"])
def test_weight_layers_on_a_lazy_network(chosen, built):
    setup = built(f"regularizer={chosen}", "+model.lazy=true")
    found = [w for w in weights(setup.module.objective.network) if w.layers]
    assert [w.name for w in found] == ["model.head.weight"]
    assert found[0].tensor.shape == (10, 8)
    plain = built("+model.lazy=true")  # the same initialization
    assert torch.equal(found[0].tensor, weights(plain.module.objective.network)[0].tensor)


@pytest.mark.parametrize("chosen", ["proximal_l1", "proximal_l0", "proximal_group_lasso"])
def test_a_proximal_update_of_normalized_weights_is_refused_when_built(chosen, compose_train):
    make = partial(compose_train, "folder=runs", "model.widths=[8]", "model.norm=weight", f"regularizer={chosen}")
    with pytest.raises(
        UserError, match=rf"^regularizer\.{chosen}: model\.hidden\.0\.0\.weight is made by WeightNorm of"
    ):
        build(make())
    build(make(f"++regularizer.{chosen}.select=model.head.weight"))
