"""What every penalty of weights keeps to, and what every penalty does."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from regnet import regularizers as R
from regnet.core.tasks import Classification
from regnet.core.weights import weights
from regnet.training.objective import Objective
from tests.helpers import references as ref
from tests.helpers.table import made_by, penalties

STACKED = (R.WeightPenalty, R.ActivityPenalty, R.OutputPenalty)  # the others differentiate within


def make(row, strength, network, **settings):
    """The row's penalty; one that refers to initial weights begins with all of them 0.5."""
    penalty = row.make(strength, **settings)
    if isinstance(penalty, R.L2SP):
        start = copy.deepcopy(network)
        for parameter in start.parameters():
            nn.init.constant_(parameter, 0.5)
        penalty.begin(start)
    return penalty


def reference(row, found):
    if made_by(row) is R.Hoyer:  # of a weight as a whole
        return row.reference([weight.tensor.detach().double().numpy() for weight in found])
    return row.reference(ref.blocks(found))


X, Y = torch.linspace(-1, 1, 15, dtype=torch.double).view(5, 3).sin(), torch.tensor([0, 1, 1, 0, 1])


def as_function(penalty, network):
    """The penalty as a function of the network's parameters, by name."""
    objective = Objective(network, F.cross_entropy, {"it": penalty})

    def value(parameters):
        given = {f"network.{name}": tensor for name, tensor in parameters.items()}
        return functional_call(objective, given, (X, Y))["penalty/it"]

    return value, dict(network.named_parameters())


@pytest.fixture
def small_network():
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Sigmoid(), nn.Linear(4, 2)).double()


@penalties(R.WeightPenalty)
def test_penalty_value(row, every_kind):
    found = weights(every_kind)
    assert make(row, 1.0, every_kind)(every_kind).item() == pytest.approx(reference(row, found), rel=1e-5)
    for name in ("linear.weight", "conv.weight", "transposed.weight"):
        (one,) = weights(every_kind, name)
        value = make(row, 1.0, every_kind, select=name)(every_kind)
        assert value.item() == pytest.approx(reference(row, [one]), rel=1e-5)


@penalties(R.WeightPenalty)
def test_penalty_is_additive_and_scales(row, every_kind):
    scale = {"*": 0.0, "conv.weight": 2.0, "linear.weight": 0.5}
    value = make(row, 1.0, every_kind, scale=scale)(every_kind).item()
    conv, linear = (make(row, 1.0, every_kind, select=f"{name}.weight")(every_kind) for name in ("conv", "linear"))
    assert value == pytest.approx(2 * conv.item() + 0.5 * linear.item(), rel=1e-6)


@penalties(R.Penalty)
def test_penalty_derivatives(row, small_network):
    if issubclass(made_by(row), R.InputPenalty):
        small_network[1] = nn.Identity()  # torch's third derivative of a LayerNorm is wrong
    value, parameters = as_function(make(row, 0.7, small_network), small_network)
    tensors = tuple(p.detach().requires_grad_() for name, p in parameters.items() if "weight" in name and p.ndim > 1)
    names = [name for name, p in parameters.items() if p.ndim > 1]

    def of_weights(*given):
        return value({name: p.detach() for name, p in parameters.items()} | dict(zip(names, given, strict=True)))

    assert torch.autograd.gradcheck(of_weights, tensors)
    assert torch.autograd.gradgradcheck(of_weights, tensors)


@penalties(*STACKED)
def test_penalty_under_torch_func(row, small_network):
    value, parameters = as_function(make(row, 0.7, small_network), small_network)
    gradients = torch.func.grad(value)({name: p.detach() for name, p in parameters.items()})
    value(parameters).backward()
    for name, parameter in parameters.items():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradients[name], expected)


@penalties(*STACKED)
def test_penalty_of_stacked_networks(row, small_network):
    """Under vmap, each network with its strength, is the penalty of one after the other, as packed runs have it."""
    networks = [copy.deepcopy(small_network) for _ in range(3)]
    for network in networks:
        for layer in (network[0], network[3]):
            layer.reset_parameters()
    objectives = [
        Objective(network, F.cross_entropy, {"it": make(row, strength, network)}).double()
        for network, strength in zip(networks, (0.0, 0.5, 2.0), strict=True)
    ]
    parameters, buffers = stack_module_state(nn.ModuleList(objectives))

    def value(parameters, buffers):
        return functional_call(objectives[0], (parameters, buffers), (X, Y))["penalty/it"]

    values = vmap(value, randomness="different")(parameters, buffers)
    gradients = torch.autograd.grad(values.sum(), list(parameters.values()), allow_unused=True)
    for i, objective in enumerate(objectives):
        alone = objective(X, Y)["penalty/it"]
        torch.testing.assert_close(values[i], alone)
        expected = torch.autograd.grad(alone, list(objective.parameters()), allow_unused=True)
        for stacked, one in zip(gradients, expected, strict=True):
            assert (stacked is None) == (one is None)
            if one is not None:
                torch.testing.assert_close(stacked[i], one)


@penalties(R.WeightPenalty)
def test_penalty_moves_weights_only(row, every_kind):
    make(row, 1.0, every_kind)(every_kind).backward()
    moved = {name for name, p in every_kind.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {weight.name for weight in weights(every_kind)}


@penalties(R.WeightPenalty)
def test_penalty_is_linear_in_its_strength(row, every_kind):
    penalty = make(row, 0.25, every_kind)
    value = penalty(every_kind)
    assert value > 0
    assert make(row, 0.0, every_kind)(every_kind) == 0
    assert make(row, 0.5, every_kind)(every_kind) == 2 * value
    penalty.strength.fill_(0.5)  # in place, as schedules do
    assert penalty(every_kind) == 2 * value
    fresh = row.make(0.0)
    fresh.load_state_dict(penalty.state_dict())
    assert fresh(every_kind) == 2 * value


@penalties(R.WeightPenalty)
def test_penalty_of_zero_weights(row):
    network = nn.Linear(3, 2)
    nn.init.zeros_(network.weight)
    value = make(row, 1.0, network)(network)
    value.backward()
    assert value.item() == pytest.approx(reference(row, weights(network)), rel=1e-6)
    assert network.weight.grad.isfinite().all()
    if made_by(row) not in (R.L2SP, R.NuclearNorm):  # whose minimum is elsewhere; which takes one of many slopes
        assert torch.equal(network.weight.grad, torch.zeros(2, 3))


@penalties(R.WeightPenalty)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_penalty_of_half_precision_is_summed_in_float32(row, dtype):
    network = nn.Linear(300, 300).to(dtype)
    nn.init.constant_(network.weight, 1.0)
    with torch.no_grad():
        network.weight[0] = 4.0
    value = make(row, 1.0, network)(network)
    value.backward()
    assert value.dtype == torch.float32
    # most are above float16's largest number, whose sums are off by 1e-3
    assert value.item() == pytest.approx(reference(row, weights(network)), rel=1e-4)
    same = copy.deepcopy(network).float()
    same.zero_grad()
    make(row, 1.0, same)(same).backward()
    torch.testing.assert_close(network.weight.grad, same.weight.grad.to(dtype))


@penalties(R.Penalty)
def test_penalty_under_autocast(row, small_network):
    small_network.float()
    objective = Objective(small_network, Classification(), {"it": make(row, 0.5, small_network)})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = objective(X.float(), Y)
    sum(terms.values()).backward()
    assert terms["penalty/it"].dtype == torch.float32
    exact = objective(X.float(), Y)["penalty/it"].item()
    exactly = issubclass(made_by(row), R.WeightPenalty)  # others see activations and outputs in bfloat16
    assert terms["penalty/it"].item() == pytest.approx(exact, rel=1e-6 if exactly else 0.05, abs=1e-6)
    assert all(p.grad.isfinite().all() for p in small_network.parameters())


@penalties(R.Penalty)
def test_penalty_is_a_scalar_of_its_own_in_the_objective(row, small_network):
    objective = Objective(small_network, F.cross_entropy, {"it": make(row, 0.5, small_network)})
    terms = objective(X, Y)
    assert list(terms) == ["loss", "penalty/it"]
    assert terms["penalty/it"].shape == ()
    # all terms are means: the loss is that of the batch, however often it passes through the network
    torch.testing.assert_close(terms["loss"], F.cross_entropy(small_network(X), Y))
    objective.penalties["it"].strength.fill_(1.0)
    torch.testing.assert_close(objective(X, Y)["penalty/it"], 2 * terms["penalty/it"])
    assert np.isfinite(terms["penalty/it"].item())
