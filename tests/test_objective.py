"""Named terms of the objective, and that it is a plain function under torch.func."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from regnet.models import MLP
from regnet.objective import Objective
from regnet.regularizers import L1, L2, Penalty
from regnet.tasks import Classification


@pytest.fixture
def batch():
    return torch.randn(7, 4), torch.randint(3, (7,))


def test_terms_by_name(batch):
    net = MLP((4,), 3, (5,))
    terms = Objective(net, Classification(), {"l1": L1(0.5), "l2": L2(0.25)})(*batch)
    assert list(terms) == ["loss", "penalty/l1", "penalty/l2"]
    assert terms["loss"] == F.cross_entropy(net(batch[0]), batch[1])
    assert terms["penalty/l1"] == L1(0.5)(net)
    assert terms["penalty/l2"] == L2(0.25)(net)
    assert all(term.ndim == 0 for term in terms.values())


def test_without_penalties_there_is_only_the_loss(batch):
    assert list(Objective(MLP((4,), 3), Classification())(*batch)) == ["loss"]


def test_penalties_are_given_the_ingredients(batch):
    class Activity(Penalty):
        def forward(self, network, x, logits, **_):
            assert torch.equal(logits, network(x))
            return logits.square().mean()

    net = MLP((4,), 3)
    terms = Objective(net, Classification(), {"activity": Activity()})(*batch)
    assert terms["penalty/activity"] == net(batch[0]).square().mean()


def test_state_holds_strengths_beside_the_network():
    objective = Objective(MLP((4,), 3), Classification(), {"l2": L2(0.25)})
    state = objective.state_dict()
    assert state["penalties.l2.strength"] == 0.25
    assert {key.split(".")[0] for key in state} == {"network", "penalties"}


def test_stacked_copies_give_the_same_as_one_by_one(batch):
    """K objectives as one, under vmap(functional_call): what packed runs are made of."""
    objectives = [Objective(MLP((4,), 3, (5,)), Classification()) for _ in range(3)]
    parameters, buffers = stack_module_state(nn.ModuleList(objectives))

    def loss(parameters, buffers):
        return functional_call(objectives[0], (parameters, buffers), batch)["loss"]

    values = vmap(loss)(parameters, buffers)
    gradients = vmap(grad(loss))(parameters, buffers)
    for i, objective in enumerate(objectives):
        value = objective(*batch)["loss"]
        value.backward()
        torch.testing.assert_close(values[i], value, rtol=1e-6, atol=1e-7)
        for name, parameter in objective.named_parameters():
            torch.testing.assert_close(gradients[name][i], parameter.grad, rtol=1e-5, atol=1e-7)
