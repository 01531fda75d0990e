"""Which parameters are weights, what a unit's weights are, and what is said of them."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad

from regnet.core.patterns import modules, scaled
from regnet.core.weights import Weight, weight_statistics, weights
from regnet.regularizers import L2, DropConnect

WEIGHTS = {
    "embedding.weight",
    "linear.weight",
    "conv.weight",
    "transposed.weight",
    "bilinear.weight",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
}


def names(network, select=None):
    return [weight.name for weight in weights(network, select)]


def test_weights_are_matrices_outside_norms_each_once(every_kind):
    found = names(every_kind)
    assert len(found) == len(set(found))
    assert set(found) == WEIGHTS
    assert [w.name for w in weights(nn.Linear(2, 2))] == ["weight"]


def test_a_weight_comes_with_its_name_and_owner(every_kind):
    parameters = dict(every_kind.named_parameters())
    for name, tensor, module, key, role in weights(every_kind):
        assert role == "weight"
        assert tensor is parameters[key]
        assert tensor is getattr(module, name.rpartition(".")[2])


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("linear.weight", ["linear.weight"]),
        ("linear.*", ["linear.weight", "linear.bias"]),
        ("*.bias", None),  # every bias, norms' too
        ("[cl]*.bias", ["linear.bias", "conv.bias", "layer1.bias", "layer2.bias"]),
        ("Linear", ["linear.weight"]),  # a shared tensor is known by its first name
        ("Conv2d", ["conv.weight"]),
        (["Conv2d", "ConvTranspose2d"], ["conv.weight", "transposed.weight"]),
        ("BatchNorm2d", ["batch.weight", "batch.bias"]),
        ("LayerNorm", ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"]),
        (["Conv2d", "conv.*"], ["conv.weight", "conv.bias"]),
        ("re:^(conv|linear)\\.", ["linear.weight", "linear.bias", "conv.weight", "conv.bias"]),
        ("re:proj.*weight$", ["attention.in_proj_weight", "attention.out_proj.weight"]),
        ("re:layer[12].b", ["layer1.bias", "layer2.bias"]),
        ("layer:0", ["embedding.weight"]),  # the layers with weights, in their order; a norm is none
        ("layer:-1", ["attention.out_proj.weight"]),
        ("layer:1:3", ["linear.weight", "conv.weight"]),
        ("layer::-2", ["embedding.weight", "linear.weight", "conv.weight", "transposed.weight", "bilinear.weight"]),
        (["layer:0", "re:^group"], ["embedding.weight", "group.weight", "group.bias"]),
    ],
)
def test_select(every_kind, select, expected):
    if expected is None:
        expected = [name for name, _ in every_kind.named_parameters() if name.endswith(".bias")]
    assert names(every_kind, select) == expected


@pytest.mark.parametrize("select", ["conv2d", "lin", ["Linear", "head.*"], "", []])
def test_select_that_matches_nothing_names_the_parameters(select):
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match=r"select=.* matches no parameter.*0.weight, 0.bias, 1.weight, 1.bias"):
        weights(network, select)


@pytest.mark.parametrize("select", ["layer:7", "layer:-8", "layer:5:5", "re:^head"])
def test_a_position_or_expression_that_matches_nothing(every_kind, select):
    with pytest.raises(ValueError, match=f"select='{re.escape(select)}' matches no parameter; the network has"):
        weights(every_kind, select)


@pytest.mark.parametrize("select", ["layer:", "layer:a", "layer:1.5", "layer:1:2:3:4", "layer:1:x"])
def test_what_is_no_position(every_kind, select):
    with pytest.raises(ValueError, match=f"select='{select}' is no position; write layer:0, layer:-1 or layer:1:3"):
        weights(every_kind, select)


def test_what_is_no_regular_expression(every_kind):
    for find in (weights, modules):
        with pytest.raises(ValueError, match=r"select='re:\(conv' is no regular expression: "):
            find(every_kind, "re:(conv")


SELECTS = [None, "linear.weight", "*.bias", "Linear", "Conv2d", "layer:0", "layer:-1", "layer:1:3", "re:proj.*weight$"]


@pytest.mark.parametrize("select", SELECTS, ids=str)
@pytest.mark.parametrize("put_on", [["Linear", "Conv2d"], None], ids=["some", "all"])
def test_selection_is_the_same_under_parametrizations(every_kind, select, put_on):
    before = weights(every_kind, select)
    DropConnect(0.5, put_on).put_on(every_kind)
    after = weights(every_kind, select)
    assert {w.name for w in after} == {w.name for w in before}
    assert {id(w.tensor) for w in after} == {id(w.tensor) for w in before}
    parameters = dict(every_kind.named_parameters())
    assert all(parameters[w.key] is w.tensor for w in after)
    assert all(w.used.shape == w.tensor.shape for w in after)


def test_under_weight_norm_the_direction_is_the_weight_and_the_norms_are_none():
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.Linear(4, 2))
    found = weights(network)
    assert [w.name for w in found] == ["0.weight", "1.weight"]
    assert found[0].tensor is network[0].parametrizations.weight.original1
    assert found[0].used.shape == (4, 3)
    assert names(network, "Linear") == ["0.weight", "1.weight"]


def test_factors_by_pattern(every_kind):
    found = weights(every_kind)
    assert scaled(found, None) == [(1.0, found)] == scaled(found, {})
    groups = scaled(found, {"Linear": 0.5, "layer:0": 0, "re:^conv": 0.5, "bilinear.*": 2, "layer:-1": 3})
    assert {factor: [w.name for w in part] for factor, part in groups} == {
        0.0: ["embedding.weight"],
        0.5: ["linear.weight", "conv.weight"],
        1.0: ["transposed.weight", "attention.in_proj_weight"],
        2.0: ["bilinear.weight"],
        3.0: ["attention.out_proj.weight"],
    }
    last = scaled(found, {"*": 4, "conv.*": 5, "Conv2d": 6})  # the last that matches
    assert {factor: len(part) for factor, part in last} == {4.0: len(found) - 1, 6.0: 1}


def test_positions_of_factors_are_among_what_is_penalized(every_kind):
    found = weights(every_kind, ["conv.weight", "linear.weight"])
    ((first, (linear,)), (second, (conv,))) = scaled(found, {"layer:0": 7})
    assert (first, linear.name, second, conv.name) == (7.0, "linear.weight", 1.0, "conv.weight")


@pytest.mark.parametrize("bad", [-1, float("nan"), "2", None])
def test_a_factor_that_is_none(every_kind, bad):
    with pytest.raises(ValueError, match=r"scale\.conv\.\* must be a number >= 0, got "):
        scaled(weights(every_kind), {"conv.*": bad})
    with pytest.raises(ValueError, match=r"scale\.batch\.weight matches none of embedding.weight, "):
        scaled(weights(every_kind), {"batch.weight": 1})  # no weight


def test_modules_by_class_and_name():
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    DropConnect(0.5, "0.weight").put_on(network)
    inner = network[2]
    for select, expected in {
        "ReLU": [network[1], inner[1]],
        "Linear": [network[0], inner[0]],
        "2.*": [inner[0], inner[1]],
        "2": [inner],
        "re:[.]1$": [inner[1]],
    }.items():
        assert modules(network, select) == expected, select
    assert modules(network, ["Linear", "0", "ReLU"]) == [network[0], network[1], inner[0], inner[1]]
    with pytest.raises(ValueError, match=r"'relu' matches no module; the network has DropConnect, Linear, .*ReLU"):
        modules(network, ["ReLU", "relu"])


CONVS = [
    (nn.Linear(4, 3), (2, 4)),
    (nn.Conv1d(4, 6, 2, groups=2), (2, 4, 5)),
    (nn.Conv2d(2, 3, 2), (2, 2, 4, 4)),
    (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 4, 4)),
    (nn.Conv2d(4, 4, 3, groups=4), (2, 4, 4, 4)),
    (nn.ConvTranspose2d(2, 3, 2), (2, 2, 3, 3)),
    (nn.ConvTranspose2d(4, 6, 2, groups=2), (2, 4, 3, 3)),
    (nn.ConvTranspose2d(4, 6, (1, 2), groups=2, stride=2), (2, 4, 3, 2)),
    (nn.ConvTranspose1d(4, 4, 3, groups=4), (2, 4, 3)),
    (nn.ConvTranspose3d(2, 4, 2, groups=2), (1, 2, 2, 2, 2)),
]


@pytest.mark.parametrize(("module", "shape"), CONVS, ids=str)
def test_units_are_what_autograd_finds(module, shape):
    """Unit i's incoming weights: those with a gradient when output channel i alone is summed."""
    (weight,) = weights(module)
    out = module(torch.rand(shape) + 0.5)
    groups, units = weight.units.shape[:2]
    assert groups * units == out.shape[1]
    for i in range(out.shape[1]):
        (gradient,) = torch.autograd.grad(out[:, i].sum(), weight.tensor, retain_graph=True)
        mine = Weight("", torch.zeros_like(weight.tensor), module, "")
        mine.units[i // units, i % units] = 1  # a view: writing to it writes to the weight
        assert torch.equal(mine.tensor, (gradient != 0).float())


@pytest.mark.parametrize("module", [nn.Linear(4, 3), nn.ConvTranspose2d(4, 3, 2), nn.BatchNorm1d(3)], ids=str)
def test_units_of_a_bias_are_its_numbers(module):
    (bias,) = weights(module, "bias")
    assert bias.units.shape == (1, 3, 1)
    assert bias.units.data_ptr() == module.bias.data_ptr()


def test_statistics_against_numpy(every_kind):
    with torch.no_grad():
        every_kind["linear"].weight[0, :] = 0
        every_kind["linear"].weight[1, 0] = 1e-5  # counts as sparse, is no zero
        every_kind["conv"].weight.zero_()
    statistics = weight_statistics(every_kind)
    arrays = {w.name: w.tensor.detach().double().numpy() for w in weights(every_kind)}
    small = {name: np.abs(a) < 1e-3 * np.abs(a).max() for name, a in arrays.items()}
    small["conv.weight"] = np.ones_like(arrays["conv.weight"])
    for name, a in arrays.items():
        assert statistics[f"norm/{name}"] == pytest.approx(np.linalg.norm(a.ravel()), rel=1e-6)
        assert statistics[f"sparsity/{name}"] == small[name].mean()
        assert statistics[f"zeros/{name}"] == (a == 0).mean()
    flat = np.concatenate([a.ravel() for a in arrays.values()])
    assert statistics["norm"] == pytest.approx(np.linalg.norm(flat), rel=1e-6)
    assert statistics["sparsity"] == pytest.approx(np.concatenate([s.ravel() for s in small.values()]).mean())
    assert statistics["zeros"] == pytest.approx((flat == 0).mean())
    assert statistics["sparsity"] > statistics["zeros"]
    assert len(statistics) == 3 * (len(arrays) + 1)


def test_statistics_of_half_precision_are_summed_wide():
    network = nn.Linear(300, 300, bias=False).half()
    nn.init.constant_(network.weight, 4.0)  # Σw² = 1.44e6, above float16's 65504
    assert weight_statistics(network)["norm"] == pytest.approx(1200)


def test_no_weights_no_statistics():
    assert weight_statistics(nn.BatchNorm1d(3)) == {}


def test_under_functional_call():
    """`weights` sees the tensors that functional_call puts in, not those of the module."""
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    given = {name: torch.full_like(p, 2.0) for name, p in network.named_parameters()}

    class Penalized(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.l2 = network, L2(0.5)

        def forward(self):
            return self.l2(self.network)

    def value(parameters):
        return functional_call(Penalized(), {f"network.{k}": v for k, v in parameters.items()}, ())

    assert value(given).item() == pytest.approx(0.5 * 6 * 2**2)
    gradients = grad(value)(given)
    assert torch.equal(gradients["0.weight"], torch.full((2, 3), 2.0))
    assert all(not gradients[name].any() for name in ("0.bias", "1.weight", "1.bias"))
