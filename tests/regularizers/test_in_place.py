"""Networks that compute in place: what was recorded before, and what is differentiated by, stays as it was."""

from functools import partial

import pytest
import torch
from torch import nn

from regnet.compose.sites import Site
from regnet.core.tasks import Classification
from regnet.measures.monte_carlo import predict
from regnet.regularizers import ActivityL1, ActivityL2, Dropout, GradientPenalty, Jacobian, KLSparsity
from regnet.training.objective import Objective

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])


class AddsInPlace(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        self.first, self.act, self.last, self.inplace = nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 3), inplace

    def forward(self, x):
        h = self.act(self.first(x))
        if self.inplace:
            h += 0.5 * x.sum(1, keepdim=True)
        else:
            h = h + 0.5 * x.sum(1, keepdim=True)
        return self.last(h)


def sequential(*between, inplace):
    layers = (layer if isinstance(layer, nn.Module) else layer(inplace=inplace) for layer in between)
    return nn.Sequential(nn.Linear(4, 5), *layers, nn.Linear(5, 3))


NETWORKS = {
    "relu": partial(sequential, nn.ReLU),
    "silu and hardtanh": partial(sequential, nn.SiLU(), partial(nn.Hardtanh, 0.1, 0.3)),
    "gelu and dropout": partial(sequential, nn.GELU(), partial(nn.Dropout, 0.5)),
    "+=": AddsInPlace,
}
PENALTIES = {
    "activity l2 of linear": partial(ActivityL2, 0.1, "Linear"),
    "activity l1 of linear": partial(ActivityL1, 0.1, "Linear"),
    "activity l2": partial(ActivityL2, 0.1),
    "activity l1": partial(ActivityL1, 0.1),
    "kl sparsity": partial(KLSparsity, 0.1, squash="sigmoid"),
    "jacobian": partial(Jacobian, 0.1, None),
    "gradient penalty": partial(GradientPenalty, 0.1),
}


def value_and_gradient(net, penalty, x=X):
    torch.manual_seed(1)  # of the dropout
    terms = Objective(net, Classification(), {"p": penalty})(x, Y)
    grads = torch.autograd.grad(sum(terms.values()), list(net.parameters()), allow_unused=True)
    return terms["penalty/p"], grads


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("network", NETWORKS)
def test_in_place_or_not_a_penalty_is_the_same(network, penalty):
    plain, inplace = (NETWORKS[network](inplace=inplace) for inplace in (False, True))
    inplace.load_state_dict(plain.state_dict())
    (expected, grads), (value, others) = (value_and_gradient(net, PENALTIES[penalty]()) for net in (plain, inplace))
    assert expected > 0
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(others, grads)


def test_activity_l2_before_an_activation_in_place_by_hand():
    net = sequential(nn.ReLU, inplace=True)
    with torch.no_grad():
        h, z = net[0](X), net(X)
    value, _ = value_and_gradient(net, ActivityL2(0.5, "Linear"))
    assert value.item() == pytest.approx(0.5 * (h.square().sum() + z.square().sum()).item() / 6, rel=1e-6)


@pytest.mark.parametrize("penalty", ["jacobian", "gradient penalty"])
def test_inputs_may_be_changed_in_place(penalty):
    plain, inplace = (nn.Sequential(nn.ReLU(inplace), nn.Linear(4, 3)) for inplace in (False, True))
    inplace.load_state_dict(plain.state_dict())
    results = [value_and_gradient(net, PENALTIES[penalty](), X.clone()) for net in (plain, inplace)]
    torch.testing.assert_close(results[0], results[1])


def test_a_layer_behind_a_module_in_place():
    """`after=` puts dropout behind it; the penalty sees what comes before the dropout."""
    net = sequential(nn.ReLU, inplace=True)
    site = Site(Dropout(0.5), after="ReLU")
    site.insert(net, "drop")
    with torch.no_grad():
        h = net[0](X).relu()
    value, _ = value_and_gradient(net, ActivityL1(0.5))
    assert value.item() == pytest.approx(0.5 * h.abs().sum().item() / 6, rel=1e-6)


def test_passes_of_monte_carlo_see_the_same_inputs():
    class Doubles(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    outputs = predict(nn.Sequential(Doubles(), Dropout(0.0)), X.clone(), 3)
    torch.testing.assert_close(outputs, (2 * X).expand(3, 6, 4))
