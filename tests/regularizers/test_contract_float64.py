"""Numbers are float64: in a float64 training they act as they were given, and no precision of training rounds them."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD

from regnet import regularizers as R
from regnet.core import hyperparameters
from regnet.core.exact import Exact
from regnet.core.weights import weights
from regnet.packed.stack import Stack
from regnet.training.objective import Objective
from tests.helpers import references as ref
from tests.helpers.table import CLASSES, OTHERS, PENALTIES, TABLE, made_by

X = torch.linspace(-1, 1, 30, dtype=torch.double).sin().view(10, 3)
IMAGES = torch.linspace(0, 9, 10 * 3 * 64, dtype=torch.double).sin().abs().view(10, 3, 8, 8)
Y = torch.arange(10) % CLASSES
EXACT = 1e-14
# where a number only decides what is drawn (at a rate that is rounded to 2^-16), erased or set to zero
DECIDES = {
    "rate": (R.Dropout, R.DropConnect, R.L0),
    "probability": R.BatchTransform,
    "size": R.Cutout,
    "strength": (R.CutMix, R.ProximalL0),
    "cutmix": R.MixupOrCutMix,
}


def numbers(module):
    """The hyper-parameters of a module by name."""
    return {name: one for name, one in module.named_buffers() if one.ndim == 0 and one.is_floating_point()}


def made(row):
    needs_one = row.kind in (R.Penalty, R.Dropout, R.DropPath, R.ShakeDrop)
    return row.make(0.1) if needs_one else row.make()


WITH_NUMBERS = {
    name: row
    for name, row in (TABLE | OTHERS).items()
    if isinstance(row.kind, type) and issubclass(row.kind, Exact) and numbers(made(row))
}
each_with_numbers = pytest.mark.parametrize("row", WITH_NUMBERS.values(), ids=WITH_NUMBERS)


@pytest.fixture
def network():
    return nn.Sequential(nn.Linear(3, 5), nn.Sigmoid(), R.Dropout(0.5), nn.Linear(5, CLASSES)).double()


def acted(regularizer, network):
    """All that a regularizer makes of this network or batch, as one vector."""
    torch.manual_seed(0)
    regularizer, network = copy.deepcopy(regularizer), copy.deepcopy(network)
    if isinstance(regularizer, R.Penalty):
        regularizer.begin(nn.Sequential(*(copy.deepcopy(part) for part in network)).apply(_move))
        return Objective(network, F.cross_entropy, {"it": regularizer})(X, Y)["penalty/it"].view(1)
    if isinstance(regularizer, R.Update):
        regularizer.begin(network)
        optimizer = SGD(network.parameters(), 0.1)
        regularizer.attach(optimizer, network)

        def closure():
            optimizer.zero_grad()
            F.cross_entropy(network(X), Y).backward()

        for _ in range(2):
            optimizer.step(closure)
        return torch.cat([p.detach().flatten() for p in network.parameters()])
    if isinstance(regularizer, R.BatchTransform):
        return torch.cat([part.double().flatten() for part in regularizer(IMAGES, Y)])
    if isinstance(regularizer, R.WeightLayer):
        regularizer.put_on(network)
        return R.WeightLayerPenalty(type(regularizer))(network).view(1)
    regularizer.double()
    y = torch.cat([regularizer.train()(IMAGES).flatten(), regularizer.eval()(IMAGES).flatten()])
    return torch.cat([y, regularizer.penalty().view(1)]) if isinstance(regularizer, R.PenalizedLayer) else y


def _move(module):
    for parameter in module.parameters(recurse=False):
        nn.init.constant_(parameter, 0.5)


@each_with_numbers
def test_every_digit_of_a_number_acts(row, network):
    if row.kind is R.Constraint:
        network[0].weight.data *= torch.linspace(0.1, 9, 5, dtype=torch.double)[:, None]  # on both sides of its bounds
    regularizer = made(row)
    decides = {name for name, kinds in DECIDES.items() if isinstance(regularizer, kinds)}
    if isinstance(regularizer, R.AlphaDropout | R.GaussianDropout):  # which scale by it, too
        decides.remove("rate")
    for name in numbers(regularizer).keys() - decides:
        moved = copy.deepcopy(regularizer)
        moved.get_buffer(name).mul_(1 - 1e-11)
        before, now = acted(regularizer, network), acted(moved, network)
        assert now.dtype == torch.double
        change = (now - before).abs().max()
        assert 0 < change < 1e-8, name


@each_with_numbers
def test_no_precision_rounds_a_number(row):
    regularizer = made(row)
    given = {name: number.item() for name, number in numbers(regularizer).items()}
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        after = numbers(regularizer.to(dtype))
        assert {name: number.item() for name, number in after.items()} == given
        assert {number.dtype for number in after.values()} == {torch.float64}


@pytest.mark.parametrize("row", [row for row in PENALTIES.values() if issubclass(made_by(row), R.WeightPenalty)])
def test_a_penalty_of_weights_is_its_formula(row, network):
    penalty = made(row)
    penalty.begin(copy.deepcopy(network).apply(_move))
    found = weights(network)
    tensors = [weight.tensor.detach().numpy() for weight in found]
    expected = row.reference(tensors if made_by(row) is R.Hoyer else ref.blocks(found))
    assert penalty(network).item() == pytest.approx(0.1 * expected, rel=EXACT, abs=0)


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (R.ElasticNet(0.1, 0.1), ref.entries(lambda w: 0.1 * (0.1 * abs(w) + 0.9 * w**2))),
        (
            R.SparseGroupLasso(0.1, 0.1),
            lambda found: 0.1 * (0.1 * ref.entries(np.abs)(found) + 0.9 * ref.group_lasso(0)(found)),
        ),
        (R.L2(0.1, scale={"*": 0.7}), ref.entries(lambda w: 0.1 * 0.7 * w**2)),
    ],
)
def test_several_numbers_are_those_of_the_formula(penalty, expected, network):
    assert penalty(network).item() == pytest.approx(expected(ref.blocks(weights(network))), rel=EXACT, abs=0)


def test_sparsity_is_its_formula():
    h = [X.abs(), X.square()]
    value = R.KLSparsity(0.1, target=0.1)(None, activations=h)
    assert value.item() == pytest.approx(0.1 * ref.kl_sparsity([one.numpy() for one in h], rho=0.1), rel=EXACT, abs=0)


def after(update, w, gradient):
    network = nn.Linear(*reversed(w.shape), bias=False).double()
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(w))
    network.weight.grad = torch.from_numpy(gradient.copy())
    optimizer = SGD(network.parameters(), 0.3)
    update.attach(optimizer, network)
    optimizer.step()
    return network.weight.detach().numpy()


def norm(w):
    return np.linalg.norm(w, axis=1, keepdims=True)


UPDATED = {
    "weight_decay": (R.WeightDecay(0.1), lambda w, g: (1 - 0.3 * 0.1) * w - 0.3 * g),
    "coupled_decay": (R.CoupledDecay(0.1), lambda w, g: w - 0.3 * (g + 0.1 * w)),
    "gradient_clipping": (R.GradientClipping(0.1), lambda w, g: w - 0.3 * 0.1 * g / np.linalg.norm(g)),
    "max_norm": (R.MaxNorm(0.1), lambda w, g: 0.1 * (w - 0.3 * g) / norm(w - 0.3 * g)),
    "min_max_norm": (
        R.MinMaxNorm(0.1, 0.7, 0.9),
        lambda w, g: (w - 0.3 * g) * (0.9 * 0.7 / norm(w - 0.3 * g) + 0.1),
    ),
    "proximal_l1": (
        R.ProximalL1(0.1),
        lambda w, g: np.sign(w - 0.3 * g) * np.maximum(np.abs(w - 0.3 * g) - 0.3 * 0.1, 0),
    ),
}


@pytest.mark.parametrize(("update", "formula"), UPDATED.values(), ids=UPDATED)
def test_an_update_is_its_formula(update, formula, rng):
    w, g = 2 + rng.random((4, 3)), rng.random((4, 3))
    np.testing.assert_allclose(after(update, w, g), formula(w, g), rtol=EXACT)


def test_smoothed_labels_are_their_formula():
    _, y = R.LabelSmoothing(0.1, CLASSES)(X, Y)
    np.testing.assert_allclose(y, 0.9 * np.eye(CLASSES)[Y] + 0.1 / CLASSES, rtol=EXACT)


def test_noise_has_its_standard_deviation():
    torch.manual_seed(1)
    x, _ = R.FeatureNoise(0.1)(X, Y)
    torch.manual_seed(1)
    expected = X.numpy() + 0.1 * X.numpy().std(0) * torch.randn_like(X).numpy()
    np.testing.assert_allclose(x, expected, rtol=1e-13)


def test_a_stack_is_the_formula_of_each():
    networks = [nn.Sequential(nn.Linear(3, CLASSES)).double() for _ in range(3)]
    strengths = [0.1, 0.3, 0.7]
    objectives = [
        Objective(one, F.cross_entropy, {"l2": R.L2(strength)})
        for one, strength in zip(networks, strengths, strict=True)
    ]
    before = [one[0].weight.detach().clone().numpy() for one in networks]
    stack = Stack(objectives, [[R.WeightDecay(strength)] for strength in strengths], recorded=False)
    noise = SimpleNamespace(step=lambda objective, rows, x, y: ())
    values, grads = stack.gradients(slice(0, 3), X, Y, noise, stacked=False)
    assert values.dtype == grads["network.0.weight"].dtype == torch.double
    for value, strength, w in zip(values[:, 1].tolist(), strengths, before, strict=True):
        assert value == pytest.approx(strength * (w**2).sum(), rel=EXACT, abs=0)
    rates = torch.tensor([0.1, 0.01, 0.3], dtype=torch.double)
    stack.before_step(slice(0, 3), rates, grads, noise)
    for one, w, strength, lr in zip(networks, before, strengths, rates.tolist(), strict=True):
        np.testing.assert_allclose(one[0].weight.detach(), (1 - lr * strength) * w, rtol=EXACT)


class Own(R.Penalty):
    """Somebody's penalty, which multiplies as it is natural to."""

    def __init__(self, value):
        super().__init__()
        self.register_buffer("mine", hyperparameters.strength(value))

    def forward(self, network, **_):
        return self.mine * sum(w.tensor.square().sum() for w in weights(network))


@pytest.mark.parametrize("penalty", [R.L2(0.1), R.L2(0.1, select="0.weight"), Own(0.1)])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_float32_training_stays_in_float32(penalty, frozen, network):
    network = network.float()
    for parameter in network[0].parameters():
        parameter.requires_grad = not frozen
    terms = Objective(network, F.cross_entropy, {"it": penalty})(X.float(), Y)
    assert {term.dtype for term in terms.values()} == {torch.float32}
    sum(terms.values()).backward()
    assert network[3].weight.grad.dtype == torch.float32


def test_numbers_of_earlier_checkpoints_are_taken():
    penalty = R.L2(0.5)
    penalty.load_state_dict({"strength": torch.tensor(0.1)})
    assert penalty.strength.dtype == torch.float64
    assert penalty.strength == torch.tensor(0.1).double()


def test_a_device_without_float64_gets_float32(monkeypatch):
    moved = []
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: moved.append((tensor.dtype, device)) or tensor)
    mps = SimpleNamespace(device=torch.device("mps"))
    penalty = R.L2(0.1)
    penalty._apply(lambda tensor: mps)
    assert moved == [(torch.float32, mps.device)]
    assert penalty.strength == torch.tensor(0.1)
