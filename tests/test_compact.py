"""A compacted network has the outputs of the whole one, and the size that its zeros allow."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from regnet.models import CNN, MLP, Standardize
from regnet.models.compact import compact
from regnet.regularizers import Dropout
from tests.helpers.commands import evaluate, train_into


def widths(network):
    return [len(layer.weight) for layer in network if isinstance(layer, nn.Linear | nn.Conv2d)]


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@torch.no_grad()
def thinned(network, share=0.6):
    """Random biases and statistics; in every layer, some units that receive nothing and some that send nothing."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.normal_()
            module.bias.normal_()
    sized = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    for layer, following in zip(sized, [*sized[1:], None], strict=True):
        if layer.bias is not None:
            layer.bias.normal_()
        if following is not None:
            units = len(layer.weight)
            layer.weight[torch.rand(units) < share / 2] = 0
            sent = following.weight.unflatten(1, (units, -1))
            sent[:, torch.rand(units) < share / 2] = 0
    return network.double().eval()


def assert_equal_outputs(network, *shape):
    whole = copy.deepcopy(network)
    smaller = compact(network)
    x = torch.randn(16, *shape).double()
    torch.testing.assert_close(smaller(x), network(x), rtol=1e-12, atol=1e-12)
    assert parameters(smaller) < parameters(network)
    for one, other in zip(network.state_dict().items(), whole.state_dict().items(), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
    return smaller


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("activation", ["ReLU", "Sigmoid", "GELU", "Softplus", "LeakyReLU", "PReLU", "RReLU"])
@pytest.mark.parametrize("seed", range(3))
def test_random_mlps(activation, norm, seed):
    torch.manual_seed(seed)
    network = MLP((3, 4), 5, [20, 16, 12], activation, norm, dropout=lambda: Dropout(0.5))
    assert_equal_outputs(thinned(network), 3, 4)


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("activation", ["ReLU", "Sigmoid", "Tanh"])
@pytest.mark.parametrize("global_pooling", [True, False])
def test_random_cnns(activation, pooling, norm, global_pooling):
    network = CNN((2, 8, 8), 5, [[8, 8], [10]], pooling, [12], global_pooling, activation, norm, dropout=nn.Dropout)
    assert_equal_outputs(thinned(network, 0.8), 2, 8, 8)


def test_a_constant_goes_into_the_next_bias():
    """Sigmoid(0) = ½ through weights of 3 and 5."""
    network = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Sigmoid(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        network[0].weight[1] = 0
        network[2].weight[:, 1] = torch.tensor([3.0, 5.0])
    smaller = compact(network)
    assert widths(smaller) == [2, 2]
    assert smaller[2].bias.tolist() == [1.5, 2.5]
    assert (smaller[0].out_features, smaller[2].in_features) == (2, 2)


def test_a_padded_convolution_takes_no_constant_but_zero():
    def chain(value, **padding):
        network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3, **padding)).double()
        with torch.no_grad():
            network[0].weight[:2] = 0
            network[0].bias[:2] = torch.tensor([value, -1.0])
        return network

    x = torch.randn(4, 1, 8, 8).double()
    for value, padding, left in (
        (1.0, {"padding": 1}, 2),
        (1.0, {"padding": "same"}, 2),
        (0.0, {"padding": 1}, 1),
        (1.0, {}, 1),
        (1.0, {"padding": "valid"}, 1),
        (1.0, {"padding": 1, "padding_mode": "reflect"}, 1),
    ):
        network = chain(value, **padding)
        smaller = compact(network)
        assert widths(smaller) == [left, 2]
        torch.testing.assert_close(smaller(x), network(x), rtol=1e-12, atol=1e-12)


def test_what_is_taken_out_frees_others():
    """A chain through unit 0 of each layer leads nowhere: it goes from the back, unit after unit."""
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
    network.append(nn.Linear(4, 2))
    with torch.no_grad():
        network[6].weight[:, 0] = 0
        for layer in (network[4], network[2]):
            layer.weight[1:, 0] = 0
    assert widths(compact(network)) == [3, 3, 3, 2]
    with torch.no_grad():
        for layer in network[::2]:
            layer.weight.zero_()
    smaller = compact(network)
    assert widths(smaller) == [1, 1, 1, 2]
    torch.testing.assert_close(smaller(torch.randn(3, 4)), network(torch.randn(3, 4)))


def test_the_pixels_of_a_channel_go_together():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 2)).double()
    with torch.no_grad():
        network[4].weight[:, 4:8] = 0
        network[4].weight[:, 0] = 0  # one pixel of another channel alone
    smaller = assert_equal_outputs(thinned(network, 0.0), 1, 4, 4)
    assert widths(smaller) == [2, 2]
    assert smaller[4].weight.shape == (2, 8)
    assert smaller[3].num_features == 8


def test_parametrized_weights_become_plain():
    network = nn.Sequential(Standardize(torch.zeros(3), torch.ones(3)), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    weight_norm(network[1])
    with torch.no_grad():
        network[1].parametrizations.weight.original0[2] = 0
    smaller = assert_equal_outputs(network.double(), 3)
    assert widths(smaller) == [3, 2]
    assert set(dict(smaller.named_parameters())) == {"1.weight", "1.bias", "3.weight", "3.bias"}


def test_it_still_trains():
    smaller = compact(thinned(MLP((4,), 2, [8], "ReLU", "batch"))).train()
    smaller(torch.randn(6, 4).double()).sum().backward()
    assert all(p.grad is not None for p in smaller.parameters())


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x):
        return x + self.inner(x)


def hooked():
    layer = nn.ReLU()
    layer.register_forward_hook(lambda *_: None)
    return layer


SHARED = nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Linear(3, 3), Residual(), nn.Linear(3, 3)], "Residual is no chain of layers"),
        ([nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 3)], "before LayerNorm"),
        ([nn.Linear(3, 3), nn.Softmax(1), nn.Linear(3, 3)], "before Softmax"),
        ([nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 3)], "before BatchNorm1d"),
        ([nn.Linear(3, 3), hooked(), nn.Linear(3, 3)], "hooks of ReLU"),
        ([SHARED, nn.ReLU(), SHARED], "used in two places"),
        ([nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2)], "it has groups"),
        ([nn.Conv2d(4, 4, 1), nn.AvgPool2d(2, padding=1), nn.Conv2d(4, 4, 1)], "before AvgPool2d"),
        ([nn.Conv2d(4, 4, 1), nn.Linear(4, 4)], "takes from"),
        ([nn.Linear(4, 4), nn.Flatten(), nn.Linear(8, 4)], "takes from"),
    ],
)
def test_what_is_no_such_chain_is_refused(layers, words):
    with pytest.raises(ValueError, match=words):
        compact(nn.Sequential(*layers))


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_run_with_whole_units_removed(model, tmp_path):
    sizes = {"mlp": ["model.widths=[64,32]"], "cnn": ["model=cnn", "model.stages=[[8],[16]]", "model.head=[32]"]}
    sgd = ["optimizer=sgd", "optimizer.lr=0.05"]
    strong = ["regularizer=proximal_group_lasso", "regularizer.proximal_group_lasso.strength=1e-3"]
    settings = [*strong, *sgd, *sizes[model], "logger=none"]
    trained = train_into(tmp_path / "run", *settings, "trainer.max_epochs=20")
    assert trained["metrics"]["val"]["accuracy"] > 0.85
    done = evaluate("run=run", "compact=true", cwd=tmp_path)
    assert done.code == 0, done.err
    assert re.search(r"^equal to the record", done.out, re.MULTILINE), done.out
    before, after = (int(n.replace(",", "")) for n in re.search(r"(\S+) parameters → (\S+)", done.out).groups())
    assert after < 0.9 * before


def test_a_run_that_cannot_be_compacted(tmp_path):
    train_into(tmp_path / "run", "model.widths=[8]", "model.norm=layer", "trainer.max_epochs=1", "logger=none")
    done = evaluate("run=run", "compact=true", cwd=tmp_path)
    assert done.code != 0
    assert "compact=true: units cannot be taken out before LayerNorm" in done.err
