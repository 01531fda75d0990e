"""What the weight layers are: their distributions by Monte Carlo, closed forms and numerical integration."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import integrate, stats
from torch import nn

from regnet.core.weights import weights
from regnet.regularizers import L0, DropConnect, VariationalDropout, WeightLayerPenalty
from regnet.regularizers.weight_layers.draws import normal, uniform
from regnet.training.objective import Objective

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1  # Louizos et al. 2018, section 4
LOG_ALPHAS = [-3.0, -1.0, 0.0, 0.5, 2.0]


def layer_of(network, name="weight"):
    return network.parametrizations[name][0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_draws_are_uniform_and_normal(dtype):
    like = torch.empty(50_001, dtype=dtype)
    u, e = uniform(like), normal(like)
    assert u.dtype == e.dtype == torch.promote_types(dtype, torch.float32)
    assert u.shape == e.shape == like.shape
    assert 0 < u.min() < 1e-3
    assert 1 - 1e-3 < u.max() < 1
    assert stats.kstest(u.double().numpy(), "uniform").pvalue > 1e-6
    assert stats.kstest(e.double().numpy(), "norm").pvalue > 1e-6
    assert abs(np.corrcoef(u[:-1].double(), u[1:].double())[0, 1]) < 5 / 50_000**0.5  # halves of one word
    assert uniform(torch.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_drop_connect_moments(rate):
    """E[w̃] = w, Var[w̃] = w² r / (1 - r), entries independent; within 5 standard errors."""
    network = nn.Linear(200, 300)
    w = network.weight.detach().clone()
    DropConnect(rate).put_on(network)
    draws = (network.weight.detach() / w).double()
    for sample, expected in ((draws, 1.0), ((draws - 1).square(), rate / (1 - rate))):
        assert abs(sample.mean() - expected) < 5 * sample.std() / draws.numel() ** 0.5 + 1e-4
    kept = (draws > 0).double()
    for shifted in (kept.roll(1, 0), kept.roll(1, 1), kept.roll(2, 1)):
        assert abs(((kept - kept.mean()) * (shifted - kept.mean())).mean()) < 5 * rate * (1 - rate) / 60_000**0.5
    assert not torch.equal(network.weight, network.weight)


def test_drop_connect_of_a_linear_model_is_ridge_with_the_inputs_norms():
    """E (y - x·w̃)² = (y - x·w)² + r/(1-r) Σ x²w², the mean over masks."""
    network, rate = nn.Linear(6, 1, bias=False).double(), 0.3
    w, x, y = network.weight.detach().clone(), torch.randn(1, 6).double(), torch.randn(1, 1).double()
    DropConnect(rate).put_on(network)
    losses = torch.stack([(y - network(x)).detach().square() for _ in range(4000)])
    expected = (y - x @ w.T).square() + rate / (1 - rate) * (x.square() * w.square()).sum()
    assert abs(losses.mean() - expected.item()) < 5 * losses.std() / 4000**0.5


@pytest.mark.parametrize("log_alpha", LOG_ALPHAS)
def test_l0_gates_have_the_distribution_of_the_paper(log_alpha):
    """Between its ends the gate's distribution function is that of a stretched concrete variable."""
    network = nn.Linear(200, 300)
    L0(0.1).put_on(network)
    layer = layer_of(network)
    nn.init.constant_(layer.log_alpha, log_alpha)
    z = layer.gate().detach().double().numpy().ravel()
    assert z.min() == 0
    assert z.max() == 1

    def below(z):  # P(gate <= z), from equation 23 of the paper's appendix, s = (z - γ) / (ζ - γ)
        s = (z - GAMMA) / (ZETA - GAMMA)
        return 1 / (1 + math.exp(-((math.log(s) - math.log1p(-s)) * BETA - log_alpha)))

    for point in (0.0, 0.2, 0.5, 0.9, 1 - 1e-9):
        p = below(point)
        assert abs((z <= point).mean() - p) < 5 * (p * (1 - p) / z.size) ** 0.5 + 1e-6
    expected = WeightLayerPenalty(L0)(network).item() / 0.1 / z.size  # P(gate ≠ 0)
    assert expected == pytest.approx(1 - below(0.0), rel=1e-4)
    assert abs((z > 0).mean() - expected) < 5 * (expected * (1 - expected) / z.size) ** 0.5


def test_l0_begins_at_its_rate_and_ends_in_exact_zeros():
    network = nn.Linear(3, 4)
    L0(0.1, rate=0.2).put_on(network)
    layer = layer_of(network.eval())
    assert torch.sigmoid(layer.log_alpha).detach().numpy() == pytest.approx(0.8)
    edge = math.log(-GAMMA / ZETA)  # where σ(log α) (ζ - γ) + γ = 0
    layer.log_alpha.data = torch.full((4, 3), edge - 1e-3)
    assert not network.weight.any()
    layer.log_alpha.data = torch.full((4, 3), edge + 1e-3)
    assert network.weight.all()
    layer.log_alpha.data = torch.full((4, 3), -edge + 1e-3)
    assert torch.equal(network.weight, network.parametrizations.weight.original)
    for bad in ({"rate": 0.0}, {"rate": 1.0}, {"groups": "row"}, {"strength": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))}"):
            L0(**{"strength": 0.1} | bad)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.8])
def test_so_many_gates_of_l0_are_closed_at_first_as_its_docstring_says(rate):
    network = nn.Linear(400, 500)
    L0(0.1, rate=rate).put_on(network)
    expected = rate / (rate + (1 - rate) * (-ZETA / GAMMA) ** BETA)
    closed = (network.weight == 0).double().mean().item()
    assert abs(closed - expected) < 5 * (expected * (1 - expected) / network.weight.numel()) ** 0.5


@pytest.mark.parametrize(
    ("make", "out", "in_"),
    [
        (lambda: nn.Linear(3, 4), (4, 1), (1, 3)),
        (lambda: nn.Conv2d(3, 4, 2), (4, 1, 1, 1), (1, 3, 1, 1)),
        (lambda: nn.ConvTranspose2d(3, 4, 2), (1, 4, 1, 1), (3, 1, 1, 1)),
    ],
)
def test_l0_of_groups(make, out, in_):
    """One draw closes a unit; the penalty still counts weights."""
    for groups, shape in (("out", out), ("in", in_)):
        network = make()
        L0(0.5, groups=groups).put_on(network)
        layer = layer_of(network)
        assert layer.log_alpha.shape == shape
        gate = network.weight / network.parametrizations.weight.original
        torch.testing.assert_close(gate, gate[tuple(slice(n) for n in shape)].expand_as(gate))
        single = make()
        L0(0.5).put_on(single)
        expected = WeightLayerPenalty(L0)(single)
        torch.testing.assert_close(WeightLayerPenalty(L0)(network), expected)


def kl(log_alpha):
    """KL(N(θ, αθ²) || log-uniform) up to a constant that makes it 0 for α → ∞, by quadrature over ε ~ N(1, α)."""
    sigma = math.exp(log_alpha / 2)
    tail = 12

    def integrand(z):
        return stats.norm.pdf(z) * math.log(abs(1 + sigma * z) + 1e-300)

    root = -1 / sigma
    points = sorted({-tail, tail, *([root] if abs(root) < tail else [])})
    mean_log = sum(integrate.quad(integrand, a, b, limit=200)[0] for a, b in pairwise(points))
    return mean_log - log_alpha / 2 + (np.euler_gamma + math.log(2)) / 2


@pytest.mark.parametrize("log_alpha", [-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0])
def test_variational_penalty_against_numerical_integration(log_alpha):
    """The paper's approximation is within 0.01 of the integral everywhere."""
    network = nn.Linear(2, 1, bias=False).double()
    nn.init.constant_(network.weight, 0.3)
    VariationalDropout(1.0, num_samples=10, log_variance=log_alpha + 2 * math.log(0.3)).put_on(network)
    penalty = WeightLayerPenalty(VariationalDropout)(network).item()
    assert penalty * 10 / 2 == pytest.approx(kl(log_alpha), abs=0.01)


LINEAR = {
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "conv": (lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), (2, 5, 5)),
    "circular conv": (lambda: nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular"), (2, 6)),
}


@pytest.mark.parametrize("kind", LINEAR)
def test_variational_noise_of_outputs_is_that_of_sampled_weights(kind):
    """Mean and variance of every output against weights drawn one by one; samples have noise of their own."""
    make, shape = LINEAR[kind]
    layer, n = make(), 4000
    x = torch.randn(1, *shape)
    mean = layer(x).detach()
    w = layer.weight.detach().clone()
    sampled = []
    for _ in range(n):
        layer.weight.data = w + 0.3 * torch.randn_like(w)
        sampled.append(layer(x).detach())
    layer.weight.data = w
    variance = torch.cat(sampled).double().var(0)
    VariationalDropout(1.0, 10, log_variance=2 * math.log(0.3)).put_on(layer)
    y = layer(x.expand(n, *shape)).detach().double()
    assert ((y.mean(0) - mean[0]).abs() < 5 * variance.sqrt() / n**0.5 + 1e-6).all()
    # the variance of a variance is 2 σ⁴ / n, in both
    assert ((y.var(0) - variance).abs() < 5 * variance * (4 / n) ** 0.5).all()
    assert len(y.flatten(1)[:, 0].unique()) > n / 2


def test_variational_noise_of_other_layers_is_of_their_weights():
    layer = nn.Embedding(50, 40)
    VariationalDropout(1.0, 10, log_variance=-2.0).put_on(layer)
    w = layer.parametrizations.weight.original
    noise = (layer(torch.arange(50)) - w).detach().double().numpy().ravel()
    assert stats.kstest(noise / math.exp(-1.0), "norm").pvalue > 1e-6
    attention = nn.MultiheadAttention(4, 2)  # hands out_proj's weight on, without a call of out_proj
    VariationalDropout(1.0, 10, log_variance=-2.0, select="out_proj.weight").put_on(attention)
    x = torch.randn(3, 1, 4)
    assert not torch.equal(attention(x, x, x)[0], attention(x, x, x)[0])


def test_variational_dropout_closes_weights_of_much_noise_in_evaluation():
    layer = nn.Linear(3, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, -0.1, 0.0]])
    VariationalDropout(1.0, 10, log_variance=0.0, threshold=3.0).put_on(layer)
    layer.eval()
    assert layer.weight.tolist() == [[1.0, 0.0, 0.0]]  # log α = 0, 4.6, ∞
    layer.train()
    penalty = WeightLayerPenalty(VariationalDropout)(layer)
    penalty.backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())  # of a weight that is exactly zero, too


def test_weight_layers_on_weight_normalized_layers():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    whole = layer.weight.detach().clone()
    DropConnect(0.5).put_on(layer)
    draw = layer.weight.detach()
    torch.testing.assert_close(draw, torch.where(draw == 0, 0.0, 2 * whole))
    torch.testing.assert_close(layer.eval().weight, whole)
    L0(0.5).put_on(layer)
    torch.testing.assert_close(layer.weight, whole / 2)
    assert WeightLayerPenalty(L0)(layer) > 0
    (weight,) = weights(layer)
    assert [type(one).__name__ for one in weight.layers] == ["_WeightNorm", "DropConnect", "L0"]
    with pytest.raises(ValueError, match="weight is made by _WeightNorm of others"):
        VariationalDropout(1.0, 10).put_on(layer)


@pytest.mark.parametrize("first", [DropConnect(0.5), L0(1e-3)], ids=["drop_connect", "l0"])
def test_weight_layers_on_top_of_each_other(first):
    layer, x = nn.Linear(3, 4), torch.randn(5, 3)
    first.put_on(layer)
    VariationalDropout(1.0, 10, log_variance=-6.0).put_on(layer)
    assert not torch.equal(layer(x[:1]), layer(x[:1]))
    (F.mse_loss(layer(x), torch.zeros(5, 4)) + WeightLayerPenalty(VariationalDropout)(layer)).backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert torch.equal(layer.eval()(x), layer(x))


@pytest.mark.parametrize("make", [lambda: L0(0.1), lambda: VariationalDropout(1.0, 200)], ids=["l0", "variational"])
def test_they_find_the_inputs_that_matter(make):
    """Regression on 10 inputs, 2 of which matter: the others' weights are exact zeros at the end."""
    x = torch.randn(200, 10)
    y = x[:, :1] - 2 * x[:, 1:2] + 0.1 * torch.randn(200, 1)
    layer = nn.Linear(10, 1)
    prior = make()
    prior.put_on(layer)
    penalty = WeightLayerPenalty(type(prior))
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    for _ in range(600):
        optimizer.zero_grad()
        (5 * F.mse_loss(layer(x), y) + penalty(layer)).backward()
        optimizer.step()
    used = layer.eval().weight.detach()[0]
    assert used[:2].tolist() == pytest.approx([1, -2], abs=0.15)
    assert (used[2:] == 0).sum() >= 6


@pytest.mark.parametrize("make", [lambda: L0(0.1), lambda: VariationalDropout(1.0, 200)], ids=["l0", "variational"])
def test_while_all_is_frozen_the_penalty_is_nothing(make):
    layer, prior = nn.Linear(3, 2), make()
    prior.put_on(layer)
    objective = Objective(layer, F.mse_loss, {"prior": WeightLayerPenalty(type(prior))})
    layer.requires_grad_(False)
    assert objective(torch.randn(4, 3), torch.randn(4, 2))["penalty/prior"].item() == 0
