"""Where layers go, and at which rate."""

import copy

import pytest
import torch
from torch import nn

from regnet.compose.build import build
from regnet.compose.sites import Site
from regnet.core.errors import UserError
from regnet.models import CNN, MLP
from regnet.regularizers import Dropout, MaxNorm

SMALL = ["model.widths=[6,5,4]", "data.train_size=40"]


class Net(nn.Module):
    """Modules in a Sequential, and one that is called by name."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 400), nn.ReLU(), nn.Sequential(nn.Linear(400, 400), nn.ReLU()))
        self.relu, self.head = nn.ReLU(), nn.Linear(400, 300)

    def forward(self, x):
        return self.relu(self.head(self.body(x)))


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def rates(site):
    return [layer.rate.item() for layer in site.made]


def layers(network, kind=Dropout):
    return [module for module in network.modules() if isinstance(module, kind)]


def test_a_network_is_given_copies_at_its_sites():
    site = Site(Dropout(0.4))
    network = MLP((4,), 3, [6, 5], dropout=site)
    site.finish()
    assert layers(network) == site.made
    assert len({id(layer) for layer in (site.layer, *site.made)}) == 3
    assert rates(site) == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"rates": [0.1, 0.2, 0.3]}, [0.1, 0.2, 0.3]),
        ({"rates": [0, 0.5, 0]}, [0, 0.5, 0]),
        ({"rule": "linear"}, [0.2, 0.4, 0.6]),  # r l / L
        ({"rule": "constant"}, [0.6, 0.6, 0.6]),
    ],
)
def test_rates_of_the_sites(settings, expected):
    site = Site(Dropout(0.6), **settings)
    MLP((4,), 3, [6, 5, 4], dropout=site)
    site.finish()
    assert rates(site) == pytest.approx(expected)


def test_what_cannot_be(every_kind):
    with pytest.raises(ValueError, match="rule='square' is none of constant, linear"):
        Site(Dropout(0.5), rule="square")
    for settings in ({"rates": [0.1]}, {"rule": "linear"}):
        with pytest.raises(ValueError, match="GELU has no rate that could differ between its sites"):
            Site(nn.GELU(), **settings)
    for wrong, message in (([0.1], "has 1 numbers, and the network has 2"), ([0.1, 1.0], r"rate must be in \[0, 1\)")):
        site = Site(Dropout(0.1), rates=wrong)
        MLP((4,), 3, [6, 5], dropout=site)
        with pytest.raises(ValueError, match=message):
            site.finish()
    with pytest.raises(ValueError, match="'Tanh' matches no module; the network has"):
        Site(Dropout(0.5), after="Tanh").insert(every_kind, "dropout")


@pytest.mark.parametrize(
    ("after", "places"),
    [
        ("ReLU", ["body.1", "body.2.1", "relu"]),
        ("head", ["head"]),
        ("body.2", ["body.2"]),  # a Sequential, which runs it as its last
        ("re:^body[.]2[.]", ["body.2.0", "body.2.1"]),
        (["body.0", "ReLU"], ["body.0", "body.1", "body.2.1", "relu"]),
    ],
)
def test_after_modules(after, places):
    """Each copy acts once, on what its module gives: the output is doubled as often as there are copies."""
    network = Net()
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    x = torch.randn(3, 4)
    before = network(x)
    site = Site(Doubled(), after=after)
    site.insert(network, "doubled")
    site.finish()
    assert [name for name, module in network.named_modules() if isinstance(module, Doubled)] == [
        f"{place}.doubled" for place in places
    ]
    torch.testing.assert_close(network(x), 2 ** len(places) * before)  # without biases a network of ReLUs is linear


def test_inserted_layers_are_part_of_the_network():
    network = Net()
    site = Site(Dropout(0.5), rule="linear", after="ReLU")
    site.insert(network, "dropout")
    site.finish()
    assert rates(site) == pytest.approx([0.5 / 3, 1 / 3, 0.5])
    x = torch.rand(2, 4)
    dropped = (network(x) == 0).double().mean() - (network.eval()(x) == 0).double().mean()
    assert dropped > 0.1
    assert torch.equal(network(x), network(x))  # evaluation
    assert {"body.1.dropout.rate", "body.2.1.dropout.rate", "relu.dropout.rate"} < set(network.state_dict())
    fresh = Net()
    other = Site(Dropout(0.0), after="ReLU")
    other.insert(fresh, "dropout")
    fresh.load_state_dict(network.state_dict())
    assert rates(other) == rates(site)


def test_a_copy_has_layers_of_its_own():
    network = Net()
    site = Site(Dropout(0.5), after="relu")
    site.insert(network, "dropout")
    site.finish()
    clone = copy.deepcopy(network)
    site.made[0].rate.fill_(0.0)
    site.made[0].eval()
    x = torch.rand(2, 4)
    assert torch.equal(network(x), network(x))
    assert not torch.equal(clone(x), clone(x))  # its hook runs its own layer
    assert layers(clone)[0].rate == 0.5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["regularizer.dropout.rate=[0.1,0.2,0.3]"], [0.1, 0.2, 0.3]),
        (["++regularizer.dropout.rule=linear", "regularizer.dropout.rate=0.3"], [0.1, 0.2, 0.3]),
        (["regularizer.dropout.after=ReLU", "regularizer.dropout.rate=0.3"], [0.3] * 3),
        (["regularizer.dropout.after=head", "regularizer.dropout.rate=[0.7]"], None),
        (["regularizer.dropout.after='*.head'", "regularizer.dropout.rate=[0.7]"], [0.7]),
    ],
)
def test_from_the_command_line(compose_train, arguments, expected):
    cfg = compose_train(*SMALL, "regularizer=dropout", *arguments)
    if expected is None:
        with pytest.raises(UserError, match=r"regularizer.dropout.after: 'head' matches no module"):
            build(cfg)
        return
    network = build(cfg).module.objective.network
    assert [layer.rate.item() for layer in layers(network)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["regularizer=dropout", "regularizer.dropout.rate=[0.1,0.2]"], "has 2 numbers, and the network has 3"),
        (["regularizer=dropout", "regularizer.dropout.rate=[0.1,0.2,1]"], r"regularizer.dropout: rate must be in"),
        (["regularizer=dropout", "++regularizer.dropout.rule=cubic"], "rule='cubic' is none of constant, linear"),
        (["regularizer=dropout", "regularizer.dropout.after=GELU"], "'GELU' matches no module"),
        (["regularizer=spatial_dropout"], "regularizer.spatial_dropout.after=ReLU puts it behind modules instead"),
        (["regularizer=l2", "++regularizer.l2.after=ReLU"], "regularizer.l2.after is for layers, and L2 is none"),
        (["regularizer=drop_connect", "regularizer.drop_connect.rate=[0.1,0.2]"], "is for layers, and DropConnect"),
    ],
)
def test_what_a_person_got_wrong(compose_train, arguments, message):
    with pytest.raises(UserError, match=message):
        build(compose_train(*SMALL, *arguments))


def test_a_convolutional_network_has_sites_of_three_names():
    sites = {
        name: Site(Dropout(0.1 * (i + 1))) for i, name in enumerate(("input_dropout", "spatial_dropout", "dropout"))
    }
    network = CNN((1, 8, 8), 10, [[2], [3]], head=[4], **sites)
    for site in sites.values():
        site.finish()
    assert {name: len(site.made) for name, site in sites.items()} == {
        "input_dropout": 1,
        "spatial_dropout": 2,
        "dropout": 1,
    }
    assert len(layers(network)) == 4
    MaxNorm(1.0)(network)  # layers at sites are no weights
    assert all(layer.rate > 0 for layer in layers(network))
