"""What every constraint keeps to."""

import copy

import pytest
import torch
from table import each
from torch import nn

from regnet import regularizers as R
from regnet.weights import weights


@each(R.Constraint)
@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(5, 3),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        nn.ConvTranspose1d(2, 3, 2),
        nn.Embedding(4, 3),
    ],
    ids=lambda module: type(module).__name__,
)
def test_constraint(row, module):
    constraint = row.make()
    before = copy.deepcopy(module)
    with torch.no_grad():
        module.weight.mul_(10)
    constraint(module)
    (weight,) = weights(module)
    for unit in weight.units.flatten(0, 1).detach().double().numpy():
        assert row.reference(unit.ravel())
    assert not torch.equal(module.weight, 10 * before.weight)
    assert getattr(module, "bias", None) is None or torch.equal(module.bias, before.bias)
    once = module.weight.detach().clone()
    constraint(module)
    torch.testing.assert_close(module.weight.detach(), once, rtol=1e-6, atol=0)
    with torch.no_grad():
        module.weight.mul_(0.5)
    feasible = module.weight.detach().clone()
    constraint(module)
    assert torch.equal(module.weight, feasible)
    assert module.weight.grad_fn is None
    assert module.weight.requires_grad


@each(R.Constraint)
def test_constraint_of_chosen_weights_after_each_step(row):
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    optimizer = torch.optim.SGD(network.parameters(), lr=10.0)
    handle = row.make(select="1.weight").attach(optimizer, network)
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert not all(row.reference(unit) for unit in network[0].weight.detach().numpy())
    assert all(row.reference(unit) for unit in network[1].weight.detach().numpy())
    handle.remove()
    optimizer.step()
    assert not all(row.reference(unit) for unit in network[1].weight.detach().numpy())
