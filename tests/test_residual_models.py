"""Residual networks and the normalizations: published sizes, torch's and torchvision's own as references."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
from torchvision.models.resnet import BasicBlock

from regnet.core.weights import weights
from regnet.models import CNN, MLP, ResidualMLP, ResNet
from regnet.models.parts import groups
from regnet.models.residual import Pad, Residual

NORMS = ["none", "batch", "layer", "group", "weight"]
NETWORKS = {
    "mlp": lambda **options: MLP((1, 8, 8), 5, (12, 8), **options),
    "cnn": lambda **options: CNN((1, 8, 8), 5, ((4,), (6,)), head=(7,), **options),
    "resnet": lambda **options: ResNet((1, 8, 8), 5, (1, 1), projection=True, **options),
    "residual_mlp": lambda **options: ResidualMLP((1, 8, 8), 5, 2, 12, **options),
}
each_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


class Zero(nn.Module):
    def forward(self, x):
        return x * 0


class Marked(nn.Identity):
    """What a test puts at a site."""


def size(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("n", "published", "digits"), [(3, 0.27, 2), (5, 0.46, 2), (7, 0.66, 2), (9, 0.85, 2), (18, 1.7, 1)]
)
def test_sizes_of_he_et_al(n, published, digits):
    """Their Table 6, in millions of parameters, of 6n + 2 layers."""
    with torch.device("meta"):
        network = ResNet((3, 32, 32), 10, (n, n, n))
    assert round(size(network) / 1e6, digits) == published
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 6 * n + 2


@pytest.mark.parametrize(
    ("n", "width", "published"), [(6, 1, 0.6), (6, 2, 2.2), (6, 4, 8.9), (4, 10, 36.5), (2, 8, 11.0)]
)
def test_sizes_of_wide_resnets(n, width, published):
    """Zagoruyko and Komodakis 2016, Table 4, in millions of parameters, of 6n + 4 layers."""
    with torch.device("meta"):
        network = ResNet((3, 32, 32), 10, (n, n, n), width, pre_activation=True, projection=True)
    assert round(size(network) / 1e6, 1) == published


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 9, 13), (3, 4, 4)])
@pytest.mark.parametrize("pre_activation", [False, True])
@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("width", [1, 2])
def test_resnet_takes_small_images(shape, pre_activation, projection, width):
    network = ResNet(shape, 7, (1, 2, 1), width, pre_activation=pre_activation, projection=projection)
    assert network(torch.randn(2, *shape)).shape == (2, 7)
    assert sum(isinstance(m, nn.Conv2d) and m.stride == (2, 2) for m in network.modules()) == (4 if projection else 2)


@pytest.mark.parametrize("stride", [1, 2])
def test_block_is_torchvision_s(stride):
    """The basic block with projection, weight by weight; the first of a wide network's first or second stage."""
    network = ResNet((3, 8, 8), 4, (1, 1), 2, projection=True)
    ours = [m for m in network.modules() if isinstance(m, Residual)][stride - 1]
    channels, out_channels = {1: (16, 32), 2: (32, 64)}[stride]
    projection = nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
    theirs = BasicBlock(channels, out_channels, stride, projection)
    states = [p for p in ours.state_dict().values() if p.ndim]
    assert len(states) == 15
    theirs.load_state_dict(dict(zip([k for k, p in theirs.state_dict().items() if p.ndim], states, strict=True)), False)
    x = torch.randn(5, channels, 6, 6)
    torch.testing.assert_close(ours(x).relu(), theirs(x))


def test_shortcut_without_parameters():
    x = torch.randn(2, 3, 5, 7)
    y = Pad(2, 4)(x)
    assert y.shape == (2, 7, 3, 4)
    assert torch.equal(y[:, :3], x[:, :, [0, 2, 4]][..., [0, 2, 4, 6]])
    assert not y[:, 3:].any()
    assert not list(Pad(2, 4).parameters())


@pytest.mark.parametrize("pre_activation", [False, True])
def test_a_network_without_its_branches_is_its_shortcuts(pre_activation):
    network = ResNet((1, 8, 8), 3, (1, 2), pre_activation=pre_activation, drop_path=Zero)
    x = torch.randn(4, 1, 8, 8)
    h = F.pad(network.stem(x)[:, :, ::2, ::2], (0, 0, 0, 0, 0, 16))
    if pre_activation:
        h = F.relu(F.batch_norm(h, None, None, training=True))
    torch.testing.assert_close(network(x), network.head(h.mean((2, 3))))


def test_pre_activation_has_norm_and_activation_before_each_convolution():
    network = ResNet((1, 8, 8), 3, (1,), pre_activation=True, dropout=Marked)
    kinds = [type(m) for m in network.stages[0].branches[0]]
    before = [nn.BatchNorm2d, nn.ReLU]
    assert kinds == [*before, nn.Conv2d, *before, Marked, nn.Conv2d]
    assert [type(m) for m in network.stem] == [nn.Conv2d]
    assert [type(m) for m in network.stages[-2:]] == before


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: ResNet((1, 8, 8), 3, (1,), **options).stages[0],
        lambda **options: ResidualMLP((64,), 3, 1, 16, **options).blocks[0],
    ],
)
def test_branches_are_averaged_where_nothing_else_is_chosen(make):
    block = make(branches=2)
    x = torch.randn(3, 16, 4, 4) if any(p.ndim == 4 for p in block.parameters()) else torch.randn(3, 16)
    one, other = (branch(x) for branch in block.branches)
    assert not torch.equal(one, other)
    torch.testing.assert_close(block(x), x + (one + other) / 2)
    assert len(make().branches) == 1


@pytest.mark.parametrize(
    ("make", "sites"),
    [
        (
            lambda **sites: ResNet((1, 8, 8), 2, (2, 1), branches=2, **sites),
            {"input_dropout": 1, "dropout": 6, "spatial_dropout": 2, "drop_path": 3, "shake_shake": 3},
        ),
        (
            lambda **sites: ResidualMLP((4,), 2, 3, 5, branches=2, **sites),
            {"input_dropout": 1, "dropout": 6, "drop_path": 3, "shake_shake": 3},
        ),
    ],
)
def test_sites(make, sites):
    for site, number in sites.items():
        network = make(**{site: Marked})
        assert sum(isinstance(m, Marked) for m in network.modules()) == number
        assert size(network) == size(make())


def test_sites_are_where_they_are_said_to_be():
    shapes = {}

    def marked(name):
        def make():
            module = Marked()
            module.register_forward_hook(lambda _, args, out: shapes.setdefault(name, []).append(tuple(args[0].shape)))
            return module

        return make

    names = ("input_dropout", "dropout", "spatial_dropout", "drop_path")
    network = ResNet((1, 8, 8), 2, (1, 1), branches=2, **{name: marked(name) for name in names})
    network(torch.randn(3, 1, 8, 8))
    stages = [(3, 16, 8, 8), (3, 32, 4, 4)]
    assert shapes["input_dropout"] == [(3, 1, 8, 8)]
    assert shapes["dropout"] == [stages[0]] * 2 + [stages[1]] * 2
    assert shapes["spatial_dropout"] == shapes["drop_path"] == stages
    branch = network.stages[0].branches[0]
    assert [type(m) for m in branch][2:5] == [nn.ReLU, Marked, nn.Conv2d]


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: ResNet((4,), 2), "a ResNet needs images of shape (C, H, W), and these samples have shape (4,)"),
        (lambda: ResNet((1, 3, 9), 2), "3 stages halve an image of 3x9 to nothing; use fewer"),
        (lambda: ResNet((1, 8, 8), 2, (1, 0)), "blocks must be a list of whole numbers >= 1, got [1, 0]"),
        (lambda: ResNet((1, 8, 8), 2, ()), "blocks=[] has no stage"),
        (lambda: ResNet((1, 8, 8), 2, branches=0), "branches must be a whole number >= 1, got 0"),
        (lambda: ResNet((1, 8, 8), 2, norm="batc"), "norm='batc' is none of none, batch, layer, group, weight"),
        (lambda: ResNet((1, 8, 8), 2, activation="relu"), "activation='relu' is not in torch.nn; did you mean ReLU"),
        (lambda: ResidualMLP((4,), 2, 0), "blocks must be a whole number >= 1, got 0"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        build()


@each_network
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_in_every_network(make, norm):
    network = make(norm=norm)
    network(torch.randn(6, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    biases = [m.bias is not None for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(biases) or norm == "batch"
    assert not any(biases) or norm != "batch"


@pytest.mark.parametrize(
    ("features", "number"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (7, 1), (16, 8), (20, 5), (24, 8), (128, 8)]
)
def test_groups_divide_the_features(features, number):
    assert groups(features) == number


def test_group_norm_of_features(rng):
    norm = MLP((4,), 2, (12,), norm="group").hidden[0][1]
    x = rng.normal(2, 3, size=(5, 12))
    parts = x.reshape(5, 6, 2)
    expected = (parts - parts.mean(2, keepdims=True)) / np.sqrt(parts.var(2, keepdims=True) + 1e-5)
    torch.testing.assert_close(norm.double()(torch.tensor(x)), torch.tensor(expected.reshape(5, 12)))


def test_group_norm_of_channels():
    norms = [m for m in ResNet((1, 8, 8), 2, (1, 1), norm="group").modules() if isinstance(m, nn.GroupNorm)]
    assert [(m.num_groups, m.num_channels) for m in norms] == [(8, 16)] * 3 + [(8, 32)] * 2


@each_network
@pytest.mark.parametrize("init", ["default", "orthogonal", "kaiming_normal"])
def test_weight_norm_begins_as_the_network_without_it(make, init):
    x, networks = torch.randn(4, 1, 8, 8), []
    for norm in ("none", "weight"):
        torch.manual_seed(1)
        networks.append(make(norm=norm, init=init))
    torch.testing.assert_close(networks[0](x), networks[1](x))
    plain, normed = ({w.name: w for w in weights(network)} for network in networks)
    assert list(plain) == list(normed)
    scales = [name for name, _ in networks[1].named_parameters() if name.endswith("original0")]
    heads = [name for name in normed if name.startswith("head")]
    assert len(scales) == len(normed) - len(heads)
    for name, weight in normed.items():
        assert weight.key == (name if name in heads else name.replace("weight", "parametrizations.weight.original1"))
        assert weight.tensor.requires_grad


@each_network
def test_weight_norm_against_torch(make):
    """Values, gradients and state are those of `torch.nn.utils.parametrizations.weight_norm`."""
    ours = make(norm="weight").double()
    theirs = make(norm="none").double()
    for weight in weights(theirs):
        if not weight.name.startswith("head"):
            parametrizations.weight_norm(weight.module)
    with torch.no_grad():
        for p in ours.parameters():
            p.mul_(1.5).add_(0.1)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    for network in (ours, theirs):
        network(x).square().sum().backward()
    for (name, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        torch.testing.assert_close(p.grad, q.grad)


@each_network
def test_length_of_a_normalized_weight_does_not_matter(make):
    network, x = make(norm="weight"), torch.randn(4, 1, 8, 8)
    before = network(x)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.endswith("original1"):
                p.mul_(7)
    torch.testing.assert_close(network(x), before)
