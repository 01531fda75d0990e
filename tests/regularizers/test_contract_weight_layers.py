"""What every weight layer keeps to."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap

from regnet import regularizers as R
from regnet.core.weights import weight_statistics, weights
from tests.helpers.table import each, made_by

N = 20_000  # draws
PENALIZED = (R.L0, R.VariationalDropout)


def put_on(row, network, **settings):
    row.make(**settings).put_on(network)
    return network


def convolutional():
    """A network whose weights are of a convolution, a transposed one and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2), nn.Flatten(), nn.Linear(3 * 25, 5)
    )


@each(R.WeightLayer)
def test_what_is_trained_is_the_weight_itself(row, every_kind):
    before = {w.name: w.tensor for w in weights(every_kind)}
    after = weights(put_on(row, every_kind))
    assert {w.name: w.tensor for w in after} == before
    assert all([type(layer) for layer in w.layers] == [made_by(row)] for w in after)
    learned = {name for name, _ in every_kind.named_parameters() if ".parametrizations." in name}
    assert not {w.name for w in after} & learned, "what a layer learns is no weight"
    R.L2(1.0)(every_kind).backward()
    assert all(torch.equal(w.tensor.grad, 2 * w.tensor) for w in after)


@each(R.WeightLayer)
def test_evaluation_is_exact_and_repeats(row, every_kind):
    network = put_on(row, every_kind).eval()
    for weight in weights(network):
        scale = weight.used / weight.tensor
        open_ = scale[scale != 0]  # embeddings of noise above their size
        torch.testing.assert_close(open_, torch.full_like(open_, row.reference[1]))
        assert torch.equal(weight.used, weight.used)
    model = put_on(row, convolutional()).eval()
    x = torch.randn(3, 2, 4, 4)
    assert torch.equal(model(x), model(x))


@each(R.WeightLayer)
@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 2, bias=False), lambda: nn.ConvTranspose2d(3, 2, 1, bias=False)])
def test_the_mean_of_training_is_the_weight_times_what_is_kept(row, make):
    """E[layer(x)] over draws, within 5 standard errors."""
    layer = make()
    w = layer.weight.detach().clone()
    x = torch.randn(1, 3) if w.ndim == 2 else torch.randn(1, 3, 1, 1)
    expected = row.reference[0] * layer(x).detach()
    put_on(row, layer)
    with torch.no_grad():
        y = torch.stack([layer(x) for _ in range(N // 4)]).double()
    assert ((y.mean(0) - expected).abs() < 5 * y.std(0) / (N // 4) ** 0.5 + 1e-6).all()
    assert (y.std(0) > 0).all()


@each(R.WeightLayer)
def test_gradients_reach_the_weight_and_what_is_learned(row):
    network = put_on(row, convolutional())
    loss = network(torch.randn(8, 2, 4, 4)).square().mean()
    if issubclass(made_by(row), PENALIZED):
        penalty = R.WeightLayerPenalty(made_by(row))(network)
        assert penalty > 0
        loss = loss + penalty
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@each(R.WeightLayer)
def test_only_what_is_selected(row, every_kind):
    put_on(row, every_kind, select=["Conv2d", "linear.*"])
    chosen = {name for name, module in every_kind.named_modules() if isinstance(module, made_by(row))}
    assert chosen == {f"{name}.0" for name in ("linear.parametrizations.weight", "linear.parametrizations.bias")} | {
        "conv.parametrizations.weight.0"
    }
    with pytest.raises(ValueError, match="matches no parameter"):
        put_on(row, nn.Linear(2, 2), select="Conv2d")
    with pytest.raises(ValueError, match="no weights to act on"):
        put_on(row, nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match="weight_ih_l0 is of a LSTM, which reads its weights once"):
        put_on(row, nn.LSTM(2, 2))
    with pytest.raises(ValueError, match="no shape yet"):
        put_on(row, nn.LazyLinear(2), select="weight")


@each(R.WeightLayer)
def test_its_state_is_in_the_checkpoint(row):
    first, fresh = (put_on(row, convolutional()) for _ in range(2))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(torch.randn_like(parameter))
        for layer in first.modules():
            if isinstance(layer, R.WeightLayer):
                for buffer in layer.buffers():
                    buffer.mul_(0.5)
    fresh.load_state_dict(first.state_dict())
    x = torch.randn(3, 2, 4, 4)
    for training in (False, True):
        outputs = []
        for network in (first.train(training), fresh.train(training)):
            torch.manual_seed(1)
            outputs.append(network(x))
        assert torch.equal(*outputs)
    if issubclass(made_by(row), PENALIZED):
        penalty = R.WeightLayerPenalty(made_by(row))
        assert penalty(first) == penalty(fresh)


@each(R.WeightLayer)
def test_a_copy_is_apart(row):
    """Averages of weights and snapshots are deep copies."""
    network = put_on(row, convolutional())
    x = torch.randn(3, 2, 4, 4)
    clone = copy.deepcopy(network)
    torch.manual_seed(1)
    expected = network(x)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    torch.manual_seed(1)
    assert torch.equal(clone(x), expected)
    clone.eval()
    assert network.training
    assert all(layer.training for layer in network.modules())


@each(R.WeightLayer)
@pytest.mark.parametrize("how", ["autocast", "bfloat16", "float64"])
def test_precisions(row, how):
    network, x = put_on(row, convolutional()), torch.randn(8, 2, 4, 4)
    if how != "autocast":
        network, x = network.to(getattr(torch, how)), x.to(getattr(torch, how))
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        y = network(x)
        loss = y.float().square().mean()
        if issubclass(made_by(row), PENALIZED):
            penalty = R.WeightLayerPenalty(made_by(row))(network)
            assert penalty.dtype in (torch.float32, torch.float64)
            loss = loss + penalty
    assert y.dtype == (torch.float64 if how == "float64" else torch.bfloat16)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@each(R.WeightLayer)
def test_compiled(row):
    network, x = put_on(row, convolutional()), torch.randn(8, 2, 4, 4)
    compiled = torch.compile(network, backend="eager")
    for training in (True, False):
        network.train(training)
        torch.manual_seed(1)
        expected = network(x)
        torch.manual_seed(1)
        torch.testing.assert_close(compiled(x), expected)


@each(R.WeightLayer)
def test_under_vmap(row):
    """Networks of a stack, each with its own parameters and draws; evaluation is that of each alone."""
    each_one = [put_on(row, convolutional()) for _ in range(3)]
    x = torch.randn(4, 2, 4, 4)
    state = {
        name: torch.stack([one.state_dict()[name] for one in each_one]).requires_grad_(tensor.is_floating_point())
        for name, tensor in each_one[0].state_dict().items()
    }

    def forward(own):
        return functional_call(each_one[0], own, (x,))

    stacked = vmap(forward, randomness="different")
    y = stacked(state)
    y.square().sum().backward()
    same = {name: tensor[:1].expand_as(tensor) for name, tensor in state.items()}
    draws = stacked(same)
    assert not torch.equal(draws[0], draws[1])
    for one in each_one:
        one.eval()
    torch.testing.assert_close(stacked(state), torch.stack([one(x) for one in each_one]), rtol=1e-4, atol=1e-5)


@each(R.WeightLayer)
def test_statistics_are_of_the_weights_in_use(row):
    network = put_on(row, convolutional()).eval()
    statistics = weight_statistics(network)
    used = torch.cat([w.used.detach().flatten() for w in weights(network)])
    assert statistics["norm"] == pytest.approx(used.norm().item(), rel=1e-5)
    assert statistics["zeros"] == pytest.approx((used == 0).double().mean().item())


@each(R.WeightLayer)
def test_putting_on_draws_nothing(row):
    network = convolutional()
    before = torch.random.get_rng_state()
    put_on(row, network)
    assert torch.equal(torch.random.get_rng_state(), before)
