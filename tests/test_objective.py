"""Named terms of the objective, and that it is a plain function under torch.func."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from regnet.core.tasks import Classification
from regnet.models import MLP
from regnet.regularizers import L1, L2, Dropout, ElasticNet, Penalty
from regnet.training.objective import Objective


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


STRENGTHS = (0.0, 0.5, 2.0)


@pytest.mark.parametrize("penalty", [None, L1, L2, partial(ElasticNet, l1_ratio=0.25)])
def test_stacked_copies_give_the_same_as_one_by_one(batch, penalty):
    """K objectives as one, each with its own strength, under vmap(functional_call): what packed runs are made of."""
    objectives = [
        Objective(MLP((4,), 3, (5,)), Classification(), {"penalty": penalty(strength)} if penalty else {})
        for strength in STRENGTHS
    ]
    parameters, buffers = stack_module_state(nn.ModuleList(objectives))

    def value(parameters, buffers):
        return sum(functional_call(objectives[0], (parameters, buffers), batch).values())

    values = vmap(value)(parameters, buffers)
    gradients = dict(zip(parameters, torch.autograd.grad(values.sum(), list(parameters.values())), strict=True))
    for i, objective in enumerate(objectives):
        alone = sum(objective(*batch).values())
        alone.backward()
        torch.testing.assert_close(values[i], alone, rtol=1e-6, atol=1e-7)
        for name, parameter in objective.named_parameters():
            torch.testing.assert_close(gradients[name][i], parameter.grad, rtol=1e-5, atol=1e-7)


def test_stacked_dropout_has_a_rate_and_noise_of_each_copy():
    layers = [Dropout(rate) for rate in (0.0, 0.25, 0.75, 0.75)]
    _, buffers = stack_module_state(nn.ModuleList(layers))
    x = torch.ones(500, 40)
    y = vmap(lambda b: functional_call(layers[0], b, x), randomness="different")(buffers)  # (K, 500, 40)
    dropped = (y == 0).double().mean((1, 2))
    assert (dropped - torch.tensor([0, 0.25, 0.75, 0.75])).abs().max() < 5 * (0.25 / x.numel()) ** 0.5
    assert torch.equal(y[0], x)
    assert not torch.equal(y[2], y[3])
