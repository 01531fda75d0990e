"""Every regularizer of weights on weights that are computed from others: the weight is what comes out."""

import copy
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import register_parametrization

from regnet import regularizers as R
from regnet.core.weights import weights
from regnet.models.weight_norm import normalize_weights
from tests.helpers.references import blocks
from tests.helpers.table import each, made_by, penalties


def legacy(make, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that there is a newer one
        return make(*arguments)


class LowRank(nn.Module):
    def forward(self, u, v):
        return u @ v

    def right_inverse(self, w):
        u, s, v = torch.linalg.svd(w, full_matrices=False)
        return u[:, :2] * s[:2], v[:2]


def own_weight_norm(layer):
    normalize_weights(layer)
    return layer


def low_rank(layer):
    register_parametrization(layer, "weight", LowRank(), unsafe=True)
    return layer


def on_top(layer, *regularizer):
    for one in regularizer:
        one.put_on(layer)
    return layer


WEIGHT_NORM = {
    "own weight norm": own_weight_norm,
    "weight norm": parametrizations.weight_norm,
    "weight norm, whole": partial(parametrizations.weight_norm, dim=None),
    "weight norm, columns": partial(parametrizations.weight_norm, dim=1),
    "old weight norm": lambda layer: legacy(nn.utils.weight_norm, layer),
    "weight norm, drop-connect": lambda layer: on_top(parametrizations.weight_norm(layer), R.DropConnect(0.5)),
}
FIXED = {
    "spectral norm": (parametrizations.spectral_norm, "_SpectralNorm"),
    "orthogonal": (parametrizations.orthogonal, "_Orthogonal"),
    "low rank": (low_rank, "LowRank"),
    "old spectral norm": (lambda layer: legacy(nn.utils.spectral_norm, layer), "torch.nn.utils.spectral_norm"),
    "pruned": (lambda layer: prune.l1_unstructured(layer, "weight", 0.3), "torch.nn.utils.prune"),
}
ON_TOP = {
    "drop-connect": lambda layer: on_top(layer, R.DropConnect(0.5)),
    "l0": lambda layer: on_top(layer, R.L0(0.1)),
    "variational dropout": lambda layer: on_top(layer, R.VariationalDropout(0.1, 100)),
    "l0, drop-connect": lambda layer: on_top(layer, R.L0(0.1), R.DropConnect(0.5)),
}
EVERY = WEIGHT_NORM | {name: make for name, (make, _) in FIXED.items()} | ON_TOP
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def moved(make, layer):
    """The layer under the parametrization after some steps, as v then has another length than w."""
    layer = make(layer)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
    return layer


def itself(layer, make):
    """What the layer computes with, found by its outputs; of layers on top, which draw, what they are put on."""
    if make in ON_TOP.values():
        return layer.parametrizations.weight.original.detach()
    with torch.no_grad():
        layer.eval()
        w = (layer(torch.eye(3)) - layer.bias).T
        layer.train()
    return w


@penalties(R.WeightPenalty)
@every
def test_a_penalty_is_of_the_weight_that_is_computed(row, make):
    layer = moved(make, nn.Linear(3, 4))
    state = copy.deepcopy(layer.state_dict())
    penalty = row.make(0.5)
    if made_by(row) is R.L2SP:
        penalty.begin(layer)
        for _, anchor in penalty.named_buffers():
            anchor.fill_(0.5) if anchor.ndim else None
    value = penalty(layer)
    plain = nn.Linear(3, 4).double()
    with torch.no_grad():
        plain.weight.copy_(itself(layer, make))
    assert value.item() == pytest.approx(0.5 * row.reference(blocks(weights(plain))), rel=1e-4)
    value.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in layer.state_dict().items()), "no step of power"


@pytest.mark.parametrize("make", WEIGHT_NORM.values(), ids=WEIGHT_NORM)
def test_l2_under_weight_norm_is_of_the_norms_alone(make):
    """Σ w² = Σ g² for each unit: its gradient is 2g for g, and nothing for the direction."""
    layer = moved(make, nn.Linear(3, 4))
    layer.zero_grad()
    R.L2(1.0)(layer).backward()
    g, v = (weights(layer)[0]).parts
    torch.testing.assert_close(g.grad, 2 * g)
    torch.testing.assert_close(v.grad, torch.zeros_like(v), atol=1e-5, rtol=0)


@each(R.Constraint)
@pytest.mark.parametrize("make", [*WEIGHT_NORM.values(), *ON_TOP.values()], ids=[*WEIGHT_NORM, *ON_TOP])
def test_a_constraint_is_of_the_weight_that_the_layer_uses(row, make):
    layer = moved(make, nn.Linear(3, 4))
    plain = nn.Linear(3, 4)
    with torch.no_grad():
        plain.weight.copy_(itself(layer, make))
    length = weights(layer)[0].parts[-1].norm().item()
    constraint = row.make()
    constraint(plain)
    constraint(layer)
    torch.testing.assert_close(itself(layer, make), plain.weight.detach(), rtol=1e-4, atol=1e-5)
    assert row.reference(plain.weight.detach().double().numpy())
    if make in WEIGHT_NORM.values():
        assert weights(layer)[0].parts[-1].norm().item() == pytest.approx(length, rel=1e-5), "the length of v"


@pytest.mark.parametrize("make", WEIGHT_NORM.values(), ids=WEIGHT_NORM)
def test_a_unit_of_zeros_under_weight_norm_is_finite_and_can_return(make):
    layer = make(nn.Linear(3, 4))
    with torch.no_grad():
        weights(layer)[0].write(torch.zeros(4, 3))
    layer.eval()
    layer(torch.ones(2, 3)).sum().backward()
    g, v = weights(layer)[0].parts
    assert not weights(layer)[0].effective.tensor.any()
    assert v.all()
    assert g.grad.isfinite().all()
    assert g.grad.any()


@each(R.Constraint)
@pytest.mark.parametrize(("make", "by"), FIXED.values(), ids=FIXED)
def test_a_constraint_that_cannot_hold_is_refused(row, make, by):
    network = nn.Sequential(nn.Linear(3, 3), make(nn.Linear(3, 4)))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = copy.deepcopy(network.state_dict())
    for call in (lambda one: one.attach(optimizer, network), lambda one: one.check(network)):
        with pytest.raises(ValueError, match=rf"^1\.weight is made by {by}, so its value cannot be set; leave it out"):
            call(row.make())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    row.make(select="0.weight").attach(optimizer, network)
    row.make(select="0.weight")(network)
    assert row.reference(network[0].weight.detach().double().numpy())
    with pytest.raises(ValueError, match=r"1\.weight is made by"):
        row.make()(network)
    with pytest.raises(ValueError, match=r"1\.weight is made by"):
        R.WeightDecay(0.1).attach(optimizer, network)


@each(R.Proximal)
@pytest.mark.parametrize("make", [*WEIGHT_NORM.values(), FIXED["spectral norm"][0]])
def test_a_proximal_update_needs_step_sizes_of_the_weight_itself(row, make):
    network = nn.Sequential(nn.Linear(3, 3), make(nn.Linear(3, 4)))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"^1\.weight is made by \S+ of what the optimizer steps on, and a proximal"):
        row.make().attach(optimizer, network)
    row.make(select="0.weight").attach(optimizer, network)


@each(R.Proximal)
@pytest.mark.parametrize("make", ON_TOP.values(), ids=ON_TOP)
def test_a_proximal_update_under_weight_layers_is_of_the_weight_itself(row, make):
    layer = make(nn.Linear(3, 4))
    plain = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    plain_optimizer = torch.optim.SGD(plain.parameters(), lr=0.5)
    for one, made in ((layer, optimizer), (plain, plain_optimizer)):
        row.make().attach(made, one)
    w = layer.parametrizations.weight.original
    plain.weight.data.copy_(w)
    layer(torch.ones(2, 3)).square().sum().backward()
    plain.weight.grad = w.grad.clone()
    optimizer.step()
    plain_optimizer.step()
    assert torch.equal(w, plain.weight)


@pytest.mark.parametrize("make", WEIGHT_NORM.values(), ids=WEIGHT_NORM)
@pytest.mark.parametrize("kind", [R.WeightDecay, R.CoupledDecay])
def test_decay_under_weight_norm(make, kind):
    """The weight shrinks by η λ and keeps its direction; in the gradient it is that of λ/2 Σ w²."""
    layer = moved(make, nn.Linear(3, 4))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    kind(0.25).attach(optimizer, layer)
    w = itself(layer, make)
    optimizer.zero_grad()
    (0 * layer(torch.ones(2, 3))).sum().backward()
    optimizer.step()
    torch.testing.assert_close(itself(layer, make), (1 - 0.5 * 0.25) * w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [FIXED["old spectral norm"][0], WEIGHT_NORM["old weight norm"], FIXED["pruned"][0]])
def test_weight_layers_are_not_put_on_what_hooks_compute(make):
    with pytest.raises(ValueError, match=r"^weight is made by torch.nn.utils.\w+, which sets it anew at each call"):
        R.DropConnect(0.5).put_on(make(nn.Linear(3, 4)))


@pytest.mark.parametrize("state", ["new", "old"])
def test_a_starting_point_under_weight_norm(state, tmp_path):
    """From a checkpoint with g and v, the anchor is w."""
    make = {"new": parametrizations.weight_norm, "old": WEIGHT_NORM["old weight norm"]}[state]
    before = moved(make, nn.Linear(3, 4))
    torch.save(before.state_dict(), tmp_path / "start.pt")
    anchor = itself(before, make)
    for network in (nn.Linear(3, 4), parametrizations.weight_norm(nn.Linear(3, 4))):
        penalty = R.L2SP(1.0, checkpoint=str(tmp_path / "start.pt"))
        penalty.begin(network)
        expected = (network.weight.detach() - anchor).square().sum()
        torch.testing.assert_close(penalty(network).detach(), expected)
