"""What every constraint keeps to."""

import copy

import pytest
import torch
from torch import nn

from regnet import regularizers as R
from regnet.core.weights import weights
from tests.helpers.table import each

modules = pytest.mark.parametrize(
    "module",
    [
        nn.Linear(5, 3),
        nn.Linear(3, 5),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        nn.ConvTranspose1d(2, 3, 2),
        nn.Embedding(4, 3),
    ],
    ids=lambda module: type(module).__name__,
)


def feasible(row, module):
    (weight,) = weights(module)
    return all(row.reference(matrix.flatten(1).double().numpy()) for matrix in weight.units.detach())


def put(module, weight):
    with torch.no_grad():
        module.weight.copy_(weight)
    return module


@each(R.Constraint)
@modules
def test_weights_become_feasible_and_stay(row, module):
    module, constraint = copy.deepcopy(module), row.make()
    bias = copy.deepcopy(getattr(module, "bias", None))
    infeasible = 3 * torch.randn_like(module.weight)  # the parametrized module's own were drawn without a seed
    constraint(put(module, infeasible))
    assert feasible(row, module)
    assert not torch.equal(module.weight, infeasible)
    assert bias is None or torch.equal(module.bias, bias)
    assert module.weight.grad_fn is None
    assert module.weight.requires_grad
    once = module.weight.detach().clone()
    constraint(module)
    torch.testing.assert_close(module.weight.detach(), once, rtol=1e-6, atol=1e-6)
    inside = put(module, 0.75 * once).weight.detach().clone()
    if feasible(row, module):  # those with an inside leave it as it is, bit by bit
        constraint(module)
        assert torch.equal(module.weight, inside)
    else:
        assert row.make in (R.UnitNorm, R.OrthogonalProjection)


@each(R.Constraint)
@modules
def test_no_feasible_weights_are_nearer(row, module):
    module, constraint = copy.deepcopy(module).double(), row.make()
    weight = torch.randn_like(module.weight)
    constraint(put(module, weight))
    nearest = module.weight.detach().clone()
    distance = (nearest - weight).norm()
    for size in [1e-3, 1e-2, 0.1, 1.0] * 20:
        constraint(put(module, nearest + size * torch.randn_like(nearest)))
        assert feasible(row, module)
        assert (module.weight - weight).norm() >= distance * (1 - 1e-6)  # the limits themselves are float32


@each(R.Constraint)
def test_constraint_of_chosen_weights_after_each_step(row):
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    optimizer = torch.optim.SGD(network.parameters(), lr=10.0)
    handle = row.make(select="1.weight").attach(optimizer, network)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.ones(1, 4)).sum().backward()
        before = network[0].weight - 10 * network[0].weight.grad
        optimizer.step()
        torch.testing.assert_close(network[0].weight, before)
        assert not feasible(row, network[0])
        assert feasible(row, network[1])
    handle.remove()
    optimizer.step()
    assert not feasible(row, network[1])


@each(R.Constraint)
def test_constraint_lets_divergence_be_seen(row):
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight[0, 0] = torch.nan
    row.make()(layer)
    assert layer.weight.isnan().any()
