"""Networks: sizes, sites, norms, initializations, and what is said when they cannot be built."""

import re
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from torch import nn

from regnet.core.weights import weights
from regnet.models import CNN, MLP, Rescale, Standardize


class Marked(nn.Identity):
    """What a test puts at a site."""


def count(network, kind):
    return sum(isinstance(module, kind) for module in network.modules())


def size(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("shape", [(5,), (1, 8, 8), (3, 4, 6)])
@pytest.mark.parametrize("widths", [(), (7,), [6, 5, 4]])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_mlp_shapes(shape, widths, norm):
    network = MLP(shape, 3, widths, norm=norm)
    out = network(torch.randn(4, *shape))
    assert out.shape == (4, 3)
    sizes = [torch.Size(shape).numel(), *widths, 3]
    expected = sum((a + 1) * b for a, b in pairwise(sizes))
    assert size(network) == expected + (0 if norm == "none" else 2 * sum(widths))


def test_the_seed_network_has_101770_parameters():
    assert size(MLP((1, 28, 28), 10, (128,))) == 101_770


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13)])
@pytest.mark.parametrize("stages", [((4,),), ((2, 3), (4,))])
@pytest.mark.parametrize("head", [(), (6,)])
@pytest.mark.parametrize("global_pooling", [False, True])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_cnn_shapes(shape, stages, head, global_pooling, pooling):
    network = CNN(shape, 5, stages, pooling, head, global_pooling)
    assert network(torch.randn(2, *shape)).shape == (2, 5)
    channels = [shape[0], *(c for stage in stages for c in stage)]
    convs = sum((9 * a + 1) * b for a, b in pairwise(channels))
    pixels = (shape[1] >> len(stages)) * (shape[2] >> len(stages))
    sizes = [channels[-1] * (1 if global_pooling else pixels), *head, 5]
    assert size(network) == convs + sum((a + 1) * b for a, b in pairwise(sizes))


def test_pooling_is_what_it_is_called():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    for pooling, expected in (("max", nn.MaxPool2d(2)), ("average", nn.AvgPool2d(2))):
        assert torch.equal(CNN((1, 4, 4), 2, ((3,),), pooling).stages[3](x), expected(x))


@pytest.mark.parametrize(
    ("build", "sites"),
    [
        (lambda **sites: MLP((4,), 2, (), **sites), {"input_dropout": 1, "dropout": 0}),
        (lambda **sites: MLP((4,), 2, (5, 6, 7), **sites), {"input_dropout": 1, "dropout": 3}),
        (
            lambda **sites: CNN((1, 8, 8), 2, ((2, 3), (4,)), head=(5, 6), **sites),
            {"input_dropout": 1, "spatial_dropout": 2, "dropout": 2},
        ),
        (
            lambda **sites: CNN((1, 8, 8), 2, ((2,),), head=(), global_pooling=True, **sites),
            {"input_dropout": 1, "spatial_dropout": 1, "dropout": 0},
        ),
    ],
)
def test_sites(build, sites):
    assert count(build(), Marked) == 0
    for site, number in sites.items():
        network = build(**{site: Marked})
        found = [module for module in network.modules() if isinstance(module, Marked)]
        assert len(found) == number
        assert size(network) == size(build())


def test_sites_are_behind_what_they_are_named_for():
    network = CNN((1, 4, 4), 2, ((3,),), head=(5,), input_dropout=Marked, spatial_dropout=Marked, dropout=Marked)
    shapes = []
    for module in network.modules():
        if isinstance(module, Marked):
            module.register_forward_hook(lambda _, args, out: shapes.append(tuple(args[0].shape)))
    network(torch.randn(2, 1, 4, 4))
    assert shapes == [(2, 1, 4, 4), (2, 3, 2, 2), (2, 5)]
    mlp = MLP((1, 2, 2), 2, (5,), norm="batch", activation="Tanh", dropout=Marked)
    assert [type(layer) for layer in mlp.hidden[0]] == [nn.Linear, nn.BatchNorm1d, nn.Tanh, Marked]


def test_norms():
    assert count(MLP((4,), 2, (5, 6), norm="batch"), nn.BatchNorm1d) == 2
    assert count(MLP((4,), 2, (5, 6), norm="layer"), nn.LayerNorm) == 2
    batch = CNN((1, 8, 8), 2, ((2, 3), (4,)), norm="batch")
    assert count(batch, nn.BatchNorm2d) == 3
    assert all(module.bias is None for module in batch.modules() if isinstance(module, nn.Conv2d))
    layer = CNN((1, 8, 8), 2, ((2, 3), (4,)), norm="layer")
    norm = layer.stages[1]
    x = 5 + 3 * torch.randn(2, 2, 8, 8)
    torch.testing.assert_close(norm(x), nn.functional.layer_norm(x, (2, 8, 8)))


@pytest.mark.parametrize("init", ["kaiming_normal", "xavier_uniform", "orthogonal", "zeros", "normal"])
def test_init(init):
    for network in (MLP((4,), 3, (5,), norm="batch", init=init), CNN((1, 8, 8), 2, ((3,),), norm="batch", init=init)):
        for weight in weights(network):
            assert weight.module.bias is None or not weight.module.bias.any()
            if init == "zeros":
                assert not weight.tensor.any()
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        assert norms
        assert all((norm.weight == 1).all() for norm in norms)
    torch.manual_seed(1)
    made = MLP((4,), 3, (), init=init).head.weight
    torch.manual_seed(1)
    expected = getattr(nn.init, f"{init}_")(nn.Linear(4, 3).weight)
    assert torch.equal(made, expected)


def test_default_init_is_each_layer_s_own():
    torch.manual_seed(1)
    made = MLP((4,), 3, ()).head
    torch.manual_seed(1)
    own = nn.Linear(4, 3)
    assert torch.equal(made.weight, own.weight)
    assert torch.equal(made.bias, own.bias)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: MLP((4,), 2, activation="relu"), "activation='relu' is not in torch.nn; did you mean ReLU"),
        (lambda: MLP((4,), 2, activation="xyz"), "activation='xyz' is not in torch.nn"),
        (lambda: MLP((4,), 2, norm="btach"), "norm='btach' is none of none, batch, layer, group, weight"),
        (lambda: MLP((4,), 2, init="kaiming"), "init='kaiming' is not in torch.nn.init"),
        (lambda: MLP((4,), 2, init="xavier_norm"), "did you mean xavier_normal"),
        (lambda: MLP((4,), 2, (3, 0)), "widths must be a list of whole numbers >= 1, got [3, 0]"),
        (lambda: CNN((4,), 2), "a CNN needs images of shape (C, H, W), and these samples have shape (4,)"),
        (lambda: CNN((1, 8, 8), 2, pooling="mean"), "pooling='mean' is none of max, average"),
        (lambda: CNN((1, 9, 3), 2, ((2,), (2,))), "2 stages halve an image of 9x3 to nothing; use fewer"),
        (lambda: CNN((1, 8, 8), 2, norm="spectral"), "norm='spectral' is none of none, batch, layer, group, weight"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        build()


def test_standardize():
    images, mean, std = torch.randn(4, 3, 5, 5), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 1.0, 2.0])
    table = torch.randn(6, 3)
    layer = Standardize(mean[:, None, None], std[:, None, None])
    torch.testing.assert_close(layer(images), (images - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(Standardize(mean, std)(table), (table - mean) / std)
    assert set(layer.state_dict()) == {"mean", "std"}


def test_standardize_puts_the_mean_where_a_table_misses_values():
    nan = float("nan")
    mean, std = torch.tensor([1.0, 5.0]), torch.tensor([1.0, 2.0])
    assert Standardize(mean, std)(torch.tensor([[1.0, nan], [nan, 3.0]])).tolist() == [[0.0, 0.0], [0.0, -1.0]]
    images = Standardize(mean[:, None, None], std[:, None, None])
    assert images(torch.full((1, 2, 1, 1), nan)).isnan().all()  # where none are expected, none are hidden


def test_rescale_undoes_standardization():
    y = 7 + 3 * torch.randn(50, 1)
    torch.testing.assert_close(Rescale(7.0, 3.0)((y - 7) / 3), y)


def test_models_import_no_lightning():
    code = "import sys, regnet.models; print('lightning' in sys.modules, 'hydra' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
