"""Attacks against closed forms, a loop in NumPy, and the numbers that the papers print."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regnet.attacks import APGD, FGSM, PGD, Square, Strongest, correct, minimal_epsilon, robust, transfer
from regnet.attacks.apgd import checkpoints
from regnet.attacks.ball import Ball
from regnet.attacks.draws import Draws
from regnet.attacks.losses import cross_entropy, dlr, margin, targeted_dlr
from regnet.attacks.square import bump_of, share_at
from regnet.attacks.victim import Victim, undisturbed

CLASSES, FEATURES, SAMPLES = 5, 8, 200
DUAL = {"linf": 1, "l2": 2}
NORMS = list(DUAL)


@pytest.fixture
def linear():
    """A linear network as sure as trained ones are, examples, and their classes, a few of them wrong.

    Of an unsure network the cross-entropy rises fastest towards all wrong classes together, which finds less.
    """
    torch.manual_seed(4)
    network, x = nn.Linear(FEATURES, CLASSES).double(), torch.randn(SAMPLES, FEATURES).double()
    with torch.no_grad():
        network.weight *= 20
        network.bias *= 20
    y = torch.where(torch.rand(SAMPLES) < 0.9, network(x).argmax(1), torch.randint(CLASSES, (SAMPLES,)))
    return network, x, y


def distances(network, x, y, norm):
    """min_j (z_y - z_j) / ||w_y - w_j||, the dual norm; below 0 where the example is an error already."""
    z, w = network(x).detach(), network.weight.detach()
    ahead = z.gather(1, y[:, None]) - z
    dual = (w[y][:, None] - w).norm(p=DUAL[norm], dim=2)
    return (ahead / dual).scatter(1, y[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attack", [FGSM, PGD, APGD])
def test_loss_of_a_linear_binary_model(norm, attack):
    """softplus(-m + ε||w||), m = ± (w·x + b) and the dual norm, whatever climbs."""
    torch.manual_seed(2)
    layer, x, y = nn.Linear(7, 1).double(), torch.randn(40, 7).double(), torch.arange(40) % 2
    epsilon, settings = 0.3, {PGD: {"steps": 50, "random_start": False}, APGD: {"steps": 50}}
    found = attack(epsilon, norm=norm, **settings.get(attack, {}))(layer, x, y)
    m = (layer(x)[:, 0] * (2 * y - 1)).detach()
    dual = layer.weight.detach().norm(p=DUAL[norm])
    loss = F.binary_cross_entropy_with_logits(layer(found)[:, 0], y.double(), reduction="none").detach()
    torch.testing.assert_close(loss, F.softplus(-m + epsilon * dual), rtol=1e-9, atol=0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.2, 0.4])
def test_a_linear_model_is_robust_where_every_margin_is_wide_enough(norm, epsilon, linear):
    network, x, y = linear
    holds = distances(network, x, y, norm) > epsilon
    assert 0.05 < holds.double().mean() < 0.95
    targeted = APGD(epsilon, 50, "targeted_dlr", targets=CLASSES - 1, norm=norm)
    assert torch.equal(robust(targeted, network, x, y), holds)
    for attack in (PGD(epsilon, 50, norm=norm), APGD(epsilon, 50, norm=norm), APGD(epsilon, 50, "dlr", norm=norm)):
        found = robust(attack, network, x, y)
        assert not (holds & ~found).any(), "an error where there can be none"
        assert (found & ~holds).double().mean() <= 0.03
    assert torch.equal(robust(Strongest(epsilon, 50, norm=norm, queries=20), network, x, y), holds)
    black_box = robust(Square(epsilon, 600, norm=norm), network, x, y)
    assert not (holds & ~black_box).any()
    assert (black_box & ~holds).double().mean() <= 0.12


@pytest.mark.parametrize("norm", NORMS)
def test_minimal_epsilon_of_a_linear_model(norm, linear):
    network, x, y = linear
    attack = APGD(1.0, 50, "targeted_dlr", targets=CLASSES - 1, norm=norm)
    found = minimal_epsilon(attack, network, x, y, largest=0.8, halvings=8)
    expected = distances(network, x, y, norm)
    assert torch.equal(found == 0, expected <= 0)
    assert torch.equal(found == torch.inf, expected > 0.8)
    between = (expected > 0) & (expected <= 0.8)
    assert between.sum() > 50
    gap = (found - expected)[between]
    assert gap.min() >= 0
    assert gap.max() <= 0.8 / 2**8 + 1e-9


def numpy_pgd(w, b, x, y, epsilon, steps, size, norm, low, high):
    """A loop by hand on a softmax regression, whose gradient is W^T (p - e_y)."""
    start = x
    for _ in range(steps):
        z = x @ w.T + b
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        g = p @ w
        if norm == "linf":
            x = np.clip(x + size * epsilon * np.sign(g), start - epsilon, start + epsilon)
        else:
            moved = x + size * epsilon * g / np.linalg.norm(g, axis=1, keepdims=True) - start
            far = np.linalg.norm(moved, axis=1, keepdims=True)
            x = start + moved * np.minimum(1, epsilon / far)
        x = np.clip(x, low, high)
    return x


@pytest.mark.parametrize("norm", NORMS)
def test_pgd_is_a_loop_by_hand(norm):
    torch.manual_seed(6)
    network, x, y = nn.Linear(FEATURES, CLASSES).double(), torch.rand(30, FEATURES).double(), torch.arange(30) % CLASSES
    attack = PGD(0.2, 9, relative_step=0.3, random_start=False, norm=norm, bounds=(0, 1))
    w, b = (parameter.detach().numpy() for parameter in network.parameters())
    expected = numpy_pgd(w, b, x.numpy(), y.numpy(), 0.2, 9, 0.3, norm, 0, 1)
    np.testing.assert_allclose(attack(network, x, y).numpy(), expected, rtol=0, atol=1e-12)


def test_restarts_count_for_each_example(linear):
    """The union over restarts, each of which alone finds less."""
    _, x, y = linear
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(FEATURES, 40), nn.Tanh(), nn.Linear(40, CLASSES)).double()
    y = network(x).argmax(1)
    settings = {"epsilon": 0.15, "steps": 1, "relative_step": 0.5}
    together = robust(PGD(restarts=6, **settings), network, x, y)
    attack = PGD(**settings)
    alone = []
    for start in range(6):
        ball = Ball(x, torch.full((len(x),), 0.15), "linf", None)
        found = attack._climbed(Victim(network), ball, y, Draws(0, torch.arange(len(x))).named("start", start))
        alone.append(correct(network, found, y))
    assert torch.equal(together, torch.stack(alone).all(0))
    assert together.sum() < min(one.sum() for one in alone)


def test_losses_by_hand():
    z, y = torch.tensor([[4.0, 1.0, 3.0, -2.0], [0.5, 2.0, -1.0, 1.0]]).double(), torch.tensor([0, 3])
    torch.testing.assert_close(cross_entropy(z, y), -z.log_softmax(1)[[0, 1], y])
    assert margin(z, y).tolist() == [-1.0, 1.0]
    torch.testing.assert_close(dlr(z, y), torch.tensor([-(4 - 3) / (4 - 1), -(1 - 2) / (2 - 0.5)]).double())
    target = torch.tensor([2, 1])
    expected = torch.tensor([-(4 - 3) / (4 - (1 - 2) / 2), -(1 - 2) / (2 - (0.5 - 1) / 2)]).double()
    torch.testing.assert_close(targeted_dlr(z, y, target), expected)
    for loss in (dlr, lambda z, y: targeted_dlr(z, y, target)):
        torch.testing.assert_close(loss(3 * z + 7, y), loss(z, y))  # neither scale nor offset


@pytest.mark.parametrize(
    ("loss", "classes", "sentence"),
    [
        ("dlr", 2, r"^the DLR loss needs at least 3 classes, and there are 2: the margin is climbed instead$"),
        ("targeted_dlr", 2, r"^the targeted DLR loss needs at least 4 classes, and there are 2: the margin is climbed"),
        ("targeted_dlr", 3, r"^the targeted DLR loss needs at least 4 classes, and there are 3: the margin is climbed"),
    ],
)
def test_where_dlr_is_not_defined_the_margin_is_climbed(loss, classes, sentence):
    torch.manual_seed(3)
    network, x = nn.Linear(FEATURES, classes).double(), torch.randn(30, FEATURES).double()
    y = network(x).argmax(1)
    with pytest.warns(UserWarning, match=sentence):
        found = APGD(0.2, 30, loss)(network, x, y)
    assert torch.equal(correct(network, found, y), distances(network, x, y, "linf") > 0.2)


def test_checkpoints_of_auto_pgd():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1000) == [220, 410, 570, 700, 800, 870, 930, 990]
    assert checkpoints(3) == [1, 2, 3]


def test_step_of_auto_pgd_is_halved_where_it_oscillates():
    """-(x - a)² for one value: steps of 2ε at first would only jump from side to side."""
    a = torch.tensor([[0.03]]).double()

    def network(x):
        return torch.cat([(x - a).square(), torch.zeros_like(x)], 1)  # whose margin is -(x - a)²

    x, y = torch.zeros(1, 1).double(), torch.tensor([0])
    found = APGD(1.0, 100, "margin")(network, x, y)
    assert (found - a).abs().item() < 2 * 1.0 / 2**5
    worse = PGD(1.0, 100, relative_step=2.0, loss="margin")(network, x, y)
    assert (worse - a).abs().item() > 0.5


def test_share_of_square_is_that_of_the_paper():
    at = {0: 1, 10: 1, 11: 2, 50: 2, 51: 4, 201: 8, 501: 16, 1001: 32, 2001: 64, 4001: 128, 6001: 256, 8001: 512}
    for query, divisor in at.items():
        assert share_at(query, 10_000, 0.8) == 0.8 / divisor
        assert share_at(query * 10, 100_000, 0.8) == 0.8 / divisor


def rectangles(height, width):
    """η of the paper, equation 2, written as a loop over rectangles."""
    out, row, column = torch.zeros(height, width, dtype=torch.float64), height // 2, width // 2
    for k in range(max(height, width) // 2 + 1):
        out[max(row - k, 0) : row + k + 1, max(column - k, 0) : column + k + 1] += 1 / (k + 1) ** 2
    return out / out.norm()


@pytest.mark.parametrize("side", [3, 4, 7, 10])
def test_bump_of_square_is_that_of_the_paper(side):
    expected = torch.cat([rectangles(side // 2, side), -rectangles(side - side // 2, side)])
    torch.testing.assert_close(bump_of(side), expected / expected.norm())


def test_square_sees_logits_alone():
    """No gradient is asked for, and there are as many passes as said."""
    calls = []

    def network(x):
        calls.append(x.requires_grad)
        return torch.stack([x.flatten(1).sum(1).round(), torch.zeros(len(x))], 1)

    Square(0.3, 25)(network, torch.rand(4, 1, 5, 5), torch.zeros(4, dtype=torch.long))
    assert calls == [False] * 26


@pytest.mark.parametrize("norm", NORMS)
def test_random_start_is_uniform_in_the_ball(norm):
    x, radius = torch.zeros(20_000, 3).double(), 2.0
    ball = Ball(x, torch.full((len(x),), radius), norm, None)
    found = ball.random(Draws(0, torch.arange(len(x))))
    if norm == "linf":
        assert found.abs().max() <= radius
        torch.testing.assert_close(found.var(0), torch.full((3,), radius**2 / 3).double(), rtol=0.05, atol=0)
    else:
        share = (found.norm(dim=1) / radius) ** 3  # U[0, 1) of a uniform point
        assert share.max() <= 1 + 1e-9
        for level in (0.1, 0.5, 0.9):
            assert (share < level).double().mean() == pytest.approx(level, abs=0.02)
    assert found.mean(0).abs().max() < 0.05


def test_transfer_matrix(linear):
    network, x, y = linear
    other = nn.Linear(FEATURES, CLASSES).double()
    attack = PGD(0.3, 10)
    matrix = transfer(attack, [network, other], x, y)
    assert matrix.shape == (2, 2)
    for i, source in enumerate((network, other)):
        for j, judged in enumerate((network, other)):
            expected = (judged(attack(source, x, y)).argmax(1) == y).double().mean()
            assert matrix[i, j] == expected
    assert matrix[0, 0] < matrix[1, 0], "made for it"


def test_passes_are_the_mean_of_the_probabilities():
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)).double()
    x = torch.randn(5, 4).double()
    with undisturbed(network, 20, 3, x.device) as victim:
        found = victim.predict(x)
        torch.manual_seed(3)
        each = torch.stack([Victim(network).predict(x).softmax(1) for _ in range(20)])
    torch.testing.assert_close(found, each.mean(0).log())
    assert each.std(0).max() > 0.01
