"""What every random layer keeps to: those of a given rate, and those that learn it."""

import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.func import functional_call, stack_module_state, vmap

from regnet import regularizers as R
from tests.helpers.table import each

RATES = [0.1, 0.5, 0.9]
EXTREMES = [0, 0.0, 2**-18, 2**-16, 0.999, 1 - 2**-16, 1 - 2**-17, 1 - 2**-24]
GIVEN, ALL = (R.Dropout,), (R.Dropout, R.RandomLayer)


def assert_moments(row, rate, x, y, rounding=1e-6):
    """E[y] and E[y²] given x within 5 standard errors; draws are shared as documented."""
    shape = row.reference(x.shape)
    x, y = x.double(), y.double()
    first = tuple(slice(size) for size in shape)
    if shape != x.shape:
        factor = y / x
        assert ((factor - factor[first]).abs() <= 4 * rounding * factor.abs()).all()
    x, y = x[first], y[first]
    mean = row.noise.mean(x, rate)
    for sample, expected in ((y, mean), (y.square(), mean**2 + row.noise.variance(x, rate))):
        errors = sample - expected
        assert abs(errors.mean()) < 5 * errors.std() / errors.numel() ** 0.5 + 4 * rounding * sample.abs().mean()


@each(*ALL)
@pytest.mark.parametrize("rate", RATES)
def test_layer_is_the_identity_in_evaluation(row, rate):
    x = torch.randn(3, 4, 2, 2)
    assert torch.equal(row.make(rate).eval()(x), x)


@each(*ALL)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_layer_moments(row, rate, dtype):
    x = (torch.rand(100, 50, 2, 2) + 0.5).to(dtype)
    y = row.make(rate)(x)
    assert y.dtype == dtype
    assert_moments(row, rate, x, y, torch.finfo(dtype).eps if dtype == torch.bfloat16 else 1e-6)


@each(*GIVEN)
@pytest.mark.parametrize("rate", RATES)
def test_layer_drops_its_share(row, rate):
    """And passes no gradient there."""
    x = torch.rand(100, 50, 2, 2, requires_grad=True)
    row.make(rate)(x).sum().backward()
    kept = x.grad[tuple(slice(size) for size in row.reference(x.shape))] != 0
    if row.noise.drops:
        assert abs(kept.double().mean() - (1 - rate)) < 5 * (rate * (1 - rate) / kept.numel()) ** 0.5
    else:
        assert kept.all()


@each(*ALL)
def test_layer_passes_gradient_as_it_passes_values(row):
    """Given the noise, all are linear in x: the gradient is the difference quotient."""
    layer, x = row.make(0.5), torch.rand(20, 5, 2, 2, dtype=torch.double, requires_grad=True)
    torch.manual_seed(1)
    y = layer(x)
    y.sum().backward()
    torch.manual_seed(1)
    torch.testing.assert_close(x.grad, (layer(x + 1) - y).detach())
    assert x.grad.unique().numel() > 1


@each(*GIVEN)
def test_layer_at_the_ends(row):
    x = torch.randn(64, 8, 2, 2, requires_grad=True)
    for rate in EXTREMES:
        y = row.make(rate)(x)
        y.sum().backward()
        assert y.isfinite().all()
        assert x.grad.isfinite().all()
    assert torch.equal(row.make(0.0)(x), x)
    assert row.make(0.5)(x[:0]).shape == (0, 8, 2, 2)


@each(*ALL)
def test_layer_does_not_round_its_rate_to_half_precision(row):
    """0.999 in bfloat16 is 1, and the number below it 0.996; it is the network that is of that type."""
    x = torch.ones(400, 400, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    layer = row.make(0.999)
    if row.kind in GIVEN:
        layer.to(torch.bfloat16)
    y = layer(x)
    assert_moments(row, 0.999, x.detach(), y.detach(), torch.finfo(x.dtype).eps)
    y.sum().backward()
    if row.noise.drops:
        assert abs((x.grad != 0).sum() - 160) < 5 * 160**0.5


@each(*ALL)
def test_layer_under_autocast(row):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), row.make(0.5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = network(torch.randn(8, 3, 2, 2))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert network[0].weight.grad.isfinite().all()


@each(*ALL)
def test_layer_keeps_its_rate_as_state(row):
    layer = row.make(0.25)
    assert copy.deepcopy(layer).rate == 0.25
    fresh = row.make(0.1)
    fresh.load_state_dict(layer.state_dict())
    assert fresh.rate == 0.25
    assert "0.25" in repr(fresh)


@each(*GIVEN)
def test_layer_follows_its_rate(row):
    layer, x = row.make(0.25), torch.rand(100, 50, 2, 2) + 0.5
    layer.rate.fill_(0.75)  # in place, as schedules do
    assert_moments(row, 0.75, x, layer(x))


@each(*ALL)
@pytest.mark.parametrize("shared", [True, False], ids=["shared inputs", "own inputs"])
def test_layers_of_a_stack_have_their_own_rates_and_noise(row, shared):
    rates = [*RATES, RATES[-1]]
    layers = [row.make(rate) for rate in rates]
    x = torch.rand(100, 50, 2, 2) + 0.5

    def forward(parameters, buffers, x):
        return functional_call(layers[0], (parameters, buffers), (x,))

    batched = vmap(forward, in_dims=(0, 0, None if shared else 0), randomness="different")
    y = batched(*stack_module_state(layers), x if shared else x.expand(len(rates), *x.shape))
    for rate, own in zip(rates, y, strict=True):
        assert_moments(row, rate, x, own)
    assert not torch.equal(y[-1], y[-2])


@each(*ALL)
def test_layer_compiles_once_for_all_rates(row):
    layer, x = row.make(0.25), torch.rand(100, 50, 2, 2, requires_grad=True)
    graphs = CompileCounter()
    compiled = torch.compile(layer, backend=graphs, fullgraph=True)
    compiled(x)
    for rate in RATES:
        layer.load_state_dict(row.make(rate).state_dict())
        y = compiled(x)
        assert_moments(row, rate, x.detach(), y.detach())
        y.sum().backward()
    assert graphs.frame_count == 1
