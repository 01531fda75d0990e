"""What every penalty keeps to."""

import numpy as np
import pytest
import torch
from table import each
from torch import nn
from torch.func import functional_call

from regnet import regularizers as R
from regnet.objective import Objective
from regnet.weights import weights


def as_function(penalty, network):
    """The penalty as a function of the network's parameters, by name."""
    objective = Objective(network, lambda logits, y: logits.sum(), {"it": penalty})

    def value(parameters):
        given = {f"network.{name}": tensor for name, tensor in parameters.items()}
        return functional_call(objective, given, (torch.zeros(2, 3, dtype=torch.double), None))["penalty/it"]

    return value, dict(network.named_parameters())


@pytest.fixture
def small_network():
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).double()


@each(R.Penalty)
def test_penalty_value(row, every_kind):
    flat = np.concatenate([w.tensor.detach().double().numpy().ravel() for w in weights(every_kind)])
    assert row.make(1.0)(every_kind).item() == pytest.approx(row.reference(flat), rel=1e-5)
    head = every_kind["linear"].weight.detach().double().numpy()
    assert row.make(1.0, select="linear.weight")(every_kind).item() == pytest.approx(row.reference(head), rel=1e-5)


@each(R.Penalty)
def test_penalty_derivatives(row, small_network):
    value, parameters = as_function(row.make(0.7), small_network)
    tensors = tuple(p.detach().requires_grad_() for name, p in parameters.items() if "weight" in name and p.ndim > 1)
    names = [name for name, p in parameters.items() if p.ndim > 1]

    def of_weights(*given):
        return value({name: p.detach() for name, p in parameters.items()} | dict(zip(names, given, strict=True)))

    assert torch.autograd.gradcheck(of_weights, tensors)
    assert torch.autograd.gradgradcheck(of_weights, tensors)


@each(R.Penalty)
def test_penalty_under_torch_func(row, small_network):
    value, parameters = as_function(row.make(0.7), small_network)
    gradients = torch.func.grad(value)({name: p.detach() for name, p in parameters.items()})
    row.make(0.7)(small_network).backward()
    for name, parameter in parameters.items():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradients[name], expected)


@each(R.Penalty)
def test_penalty_moves_weights_only(row, every_kind):
    row.make(1.0)(every_kind).backward()
    moved = {name for name, p in every_kind.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {weight.name for weight in weights(every_kind)}


@each(R.Penalty)
def test_penalty_is_linear_in_its_strength(row, every_kind):
    penalty = row.make(0.25)
    value = penalty(every_kind)
    assert value > 0
    assert row.make(0.0)(every_kind) == 0
    assert row.make(0.5)(every_kind) == 2 * value
    penalty.strength.fill_(0.5)  # in place, as schedules do
    assert penalty(every_kind) == 2 * value
    fresh = row.make(0.0)
    fresh.load_state_dict(penalty.state_dict())
    assert fresh(every_kind) == 2 * value


@each(R.Penalty)
def test_penalty_of_zero_weights(row):
    network = nn.Linear(3, 2)
    nn.init.zeros_(network.weight)
    value = row.make(1.0)(network)
    value.backward()
    assert value == 0
    assert torch.equal(network.weight.grad, torch.zeros(2, 3))


@each(R.Penalty)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_penalty_of_half_precision_is_summed_in_float32(row, dtype):
    network = nn.Linear(300, 300).to(dtype)
    nn.init.constant_(network.weight, 1.0)
    with torch.no_grad():
        network.weight[0] = 4.0
    value = row.make(1.0)(network)
    value.backward()
    assert value.dtype == torch.float32
    reference = row.reference(network.weight.detach().double().numpy())  # above float16's largest number
    assert reference > 65504
    assert value.item() == pytest.approx(reference, rel=1e-5)
    assert network.weight.grad.isfinite().all()
