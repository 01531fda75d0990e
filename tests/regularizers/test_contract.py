"""What every regularizer keeps to, by its kind: one row of `TABLE` for each file in conf/regularizer."""

import copy
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from omegaconf import OmegaConf, open_dict
from torch import nn
from torch.func import functional_call

from regnet.build import build
from regnet.callbacks import Ema
from regnet.errors import UserError
from regnet.objective import Objective
from regnet.regularizers import (
    L1,
    L2,
    BatchTransform,
    Constraint,
    Dropout,
    ElasticNet,
    FeatureNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Penalty,
    ShiftFlip,
    SpatialDropout,
    Update,
    WeightDecay,
)
from regnet.weights import weights

CONF = Path(__file__).parents[2] / "conf" / "regularizer"
FILES = sorted(path.stem for path in CONF.glob("*.yaml"))
CLASSES = 4


class Row(NamedTuple):
    """`make` builds it; a penalty from its strength, a layer from its rate.

    The reference, in NumPy, is by kind:
    penalty: its value at strength 1, of all weights as one vector; constraint: whether the weights (fan-in,)
    of a unit are feasible; layer: of an input (B, C, H, W), the shape of its independent draws;
    others: none, see the tests of the class itself.
    """

    kind: type | None
    make: Callable[..., Any]
    reference: Callable[..., Any] | None = None


TABLE = {
    "none": Row(None, lambda: None),
    "l1": Row(Penalty, L1, lambda w: np.abs(w).sum()),
    "l2": Row(Penalty, L2, lambda w: (w**2).sum()),
    "elastic_net": Row(Penalty, partial(ElasticNet, l1_ratio=0.25), lambda w: (0.25 * abs(w) + 0.75 * w**2).sum()),
    "max_norm": Row(Constraint, partial(MaxNorm, 0.5), lambda w: np.linalg.norm(w) <= 0.5 * (1 + 1e-6)),
    "weight_decay": Row(Update, partial(WeightDecay, 0.1)),
    "dropout": Row(Dropout, Dropout, lambda shape: shape),
    "input_dropout": Row(Dropout, Dropout, lambda shape: shape),
    "spatial_dropout": Row(Dropout, SpatialDropout, lambda shape: (*shape[:2], 1, 1)),
    "augment": Row(BatchTransform, partial(ShiftFlip, 2, True)),
    "mixup": Row(BatchTransform, partial(Mixup, 0.4, CLASSES)),
    "label_smoothing": Row(BatchTransform, partial(LabelSmoothing, 0.1, CLASSES)),
    "early_stopping": Row(Callback, partial(EarlyStopping, "val/loss")),
    "ema": Row(Callback, partial(Ema, decay=0.9)),
}
# what no file chooses by itself
OTHERS = {"feature_noise": Row(BatchTransform, partial(FeatureNoise, 0.3))}


def each(kind: type) -> pytest.MarkDecorator:
    rows = {name: row for name, row in (TABLE | OTHERS).items() if row.kind is kind}
    return pytest.mark.parametrize("row", rows.values(), ids=rows)


def made_by(row: Row) -> type:
    return row.make.func if isinstance(row.make, partial) else row.make


# the table


def test_one_row_for_each_file():
    assert set(TABLE) == set(FILES), "each conf/regularizer/*.yaml needs its row in TABLE, and each row its file"


@pytest.mark.parametrize("name", FILES)
def test_file_adds_one_entry_of_its_kind(name, compose_train):
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# "), "the first line says what it is"
    entries = compose_train(f"regularizer={name}").regularizer
    if name == "none":
        assert not entries
        return
    assert list(entries) == list(OmegaConf.create(text))
    assert len(entries) == 1
    (target,) = {entry._target_ for entry in entries.values()}
    assert target.rpartition(".")[2] == made_by(TABLE[name]).__name__
    assert issubclass(made_by(TABLE[name]), TABLE[name].kind)


# penalties


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


@each(Penalty)
def test_penalty_value(row, every_kind):
    flat = np.concatenate([w.tensor.detach().double().numpy().ravel() for w in weights(every_kind)])
    assert row.make(1.0)(every_kind).item() == pytest.approx(row.reference(flat), rel=1e-5)
    head = every_kind["linear"].weight.detach().double().numpy()
    assert row.make(1.0, select="linear.weight")(every_kind).item() == pytest.approx(row.reference(head), rel=1e-5)


@each(Penalty)
def test_penalty_derivatives(row, small_network):
    value, parameters = as_function(row.make(0.7), small_network)
    tensors = tuple(p.detach().requires_grad_() for name, p in parameters.items() if "weight" in name and p.ndim > 1)
    names = [name for name, p in parameters.items() if p.ndim > 1]

    def of_weights(*given):
        return value({name: p.detach() for name, p in parameters.items()} | dict(zip(names, given, strict=True)))

    assert torch.autograd.gradcheck(of_weights, tensors)
    assert torch.autograd.gradgradcheck(of_weights, tensors)


@each(Penalty)
def test_penalty_under_torch_func(row, small_network):
    value, parameters = as_function(row.make(0.7), small_network)
    gradients = torch.func.grad(value)({name: p.detach() for name, p in parameters.items()})
    row.make(0.7)(small_network).backward()
    for name, parameter in parameters.items():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradients[name], expected)


@each(Penalty)
def test_penalty_moves_weights_only(row, every_kind):
    row.make(1.0)(every_kind).backward()
    moved = {name for name, p in every_kind.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {weight.name for weight in weights(every_kind)}


@each(Penalty)
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


@each(Penalty)
def test_penalty_of_zero_weights(row):
    network = nn.Linear(3, 2)
    nn.init.zeros_(network.weight)
    value = row.make(1.0)(network)
    value.backward()
    assert value == 0
    assert torch.equal(network.weight.grad, torch.zeros(2, 3))


@each(Penalty)
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


# constraints


@each(Constraint)
@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(5, 3),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        nn.ConvTranspose1d(2, 3, 2),
        nn.Embedding(4, 3),
    ],
    ids=lambda module: type(module).__name__,
)
def test_constraint(row, module):
    constraint = row.make()
    before = copy.deepcopy(module)
    with torch.no_grad():
        module.weight.mul_(10)
    constraint(module)
    (weight,) = weights(module)
    for unit in weight.units.flatten(0, 1).detach().double().numpy():
        assert row.reference(unit.ravel())
    assert not torch.equal(module.weight, 10 * before.weight)
    assert getattr(module, "bias", None) is None or torch.equal(module.bias, before.bias)
    once = module.weight.detach().clone()
    constraint(module)
    torch.testing.assert_close(module.weight.detach(), once, rtol=1e-6, atol=0)
    with torch.no_grad():
        module.weight.mul_(0.5)
    feasible = module.weight.detach().clone()
    constraint(module)
    assert torch.equal(module.weight, feasible)
    assert module.weight.grad_fn is None
    assert module.weight.requires_grad


@each(Constraint)
def test_constraint_of_chosen_weights_after_each_step(row):
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    optimizer = torch.optim.SGD(network.parameters(), lr=10.0)
    handle = row.make(select="1.weight").attach(optimizer, network)
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert not all(row.reference(unit) for unit in network[0].weight.detach().numpy())
    assert all(row.reference(unit) for unit in network[1].weight.detach().numpy())
    handle.remove()
    optimizer.step()
    assert not all(row.reference(unit) for unit in network[1].weight.detach().numpy())


# layers

RATES = [0.1, 0.5, 0.9]
EXTREMES = [0, 0.0, 2**-18, 2**-16, 0.999, 1 - 2**-16, 1 - 2**-17, 1 - 2**-24]


@each(Dropout)
@pytest.mark.parametrize("rate", RATES)
def test_layer_is_the_identity_in_evaluation(row, rate):
    x = torch.randn(3, 4, 2, 2)
    assert torch.equal(row.make(rate).eval()(x), x)


@each(Dropout)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_layer_moments(row, rate, dtype):
    """E[y/x] = 1 and Var[y/x] = r / (1 - r), within 5 standard errors; draws are shared as documented."""
    x = (torch.rand(100, 50, 2, 4) + 0.5).to(dtype)
    y = row.make(rate)(x)
    assert y.dtype == dtype
    factor = y.double() / x.double()
    shape = row.reference(x.shape)
    draws = factor[tuple(slice(size) for size in shape)]
    rounding = torch.finfo(dtype).eps if dtype == torch.bfloat16 else 1e-6  # of x times the scale, and the scale's
    assert ((factor - draws).abs() <= 2 * rounding * draws).all()
    for sample, expected in ((draws, 1.0), ((draws - 1).square(), rate / (1 - rate))):
        error = 5 * sample.std() / draws.numel() ** 0.5 + 2 * rounding * expected
        assert abs(sample.mean() - expected) < error
    kept = (draws > 0).double().mean()
    assert abs(kept - (1 - rate)) < 5 * (rate * (1 - rate) / draws.numel()) ** 0.5


@each(Dropout)
def test_layer_passes_gradient_where_it_passes_values(row):
    x = torch.rand(20, 5, 2, 2, dtype=torch.double) + 0.5
    x.requires_grad_()
    y = row.make(0.5)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y / x).detach())
    assert (x.grad == 0).any()


@each(Dropout)
def test_layer_at_the_ends(row):
    x = torch.randn(64, 8, 2, 2, requires_grad=True)
    for rate in EXTREMES:
        y = row.make(rate)(x)
        y.sum().backward()
        assert y.isfinite().all()
        assert x.grad.isfinite().all()
    assert torch.equal(row.make(0.0)(x), x)
    assert row.make(0.5)(x[:0]).shape == (0, 8, 2, 2)


@each(Dropout)
def test_layer_does_not_round_its_rate_to_half_precision(row):
    y = row.make(0.999)(torch.ones(400, 400, 1, 1, dtype=torch.bfloat16))  # 0.999 in bfloat16 is 1
    kept = y[y > 0].double()
    assert abs(len(kept) - 160) < 5 * 160**0.5
    assert kept.mean().item() == pytest.approx(1000, rel=0.02)  # 2^-16 of the rate is 1.5 % of the scale


@each(Dropout)
def test_layer_under_autocast(row):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), row.make(0.5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = network(torch.randn(8, 3, 2, 2))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert network[0].weight.grad.isfinite().all()


@each(Dropout)
def test_layer_keeps_its_rate_as_state(row):
    layer, x = row.make(0.25), torch.ones(200, 10, 2, 2)
    assert copy.deepcopy(layer).rate == 0.25
    layer.rate.fill_(0.75)  # in place, as schedules do
    assert abs((layer(x)[:, :, 0, 0] == 0).float().mean() - 0.75) < 5 * (0.1875 / 2000) ** 0.5
    fresh = row.make(0.1)
    fresh.load_state_dict(layer.state_dict())
    assert fresh.rate == 0.75
    assert "0.75" in repr(fresh)


# batch transforms


@each(BatchTransform)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("targets", ["classes", "probabilities"])
def test_transform(row, dtype, targets):
    x = torch.rand(16, 2, 6, 6).to(dtype)
    y = torch.arange(16) % CLASSES
    if targets == "probabilities":
        y = torch.rand(16, CLASSES, dtype=torch.float32).softmax(1).to(dtype)
    before = x.clone(), y.clone()
    new_x, new_y = row.make()(x, y)
    assert torch.equal(x, before[0]), "the batch may be a view of the data"
    assert torch.equal(y, before[1])
    assert (new_x.shape, new_x.dtype) == (x.shape, dtype)
    assert new_x.isfinite().all()
    if new_y.dtype == torch.int64:
        assert torch.equal(new_y, y)
    else:
        assert (new_y.shape, new_y.dtype) == ((16, CLASSES), y.dtype if targets == "probabilities" else torch.float32)
        assert (new_y >= 0).all()
        rounding = max(2 * torch.finfo(new_y.dtype).eps, 1e-6)
        torch.testing.assert_close(new_y.float().sum(1), torch.ones(16), atol=rounding, rtol=0)
    assert row.make().stage in (BatchTransform.INPUTS, BatchTransform.MIXING, BatchTransform.TARGETS)


# all of them at work


def steps(cfg, count=3):
    """A few steps by hand: transforms ─► objective ─► backward ─► the optimizer with its updates."""
    setup = build(cfg)
    module = setup.module.train()
    optimizer = module.configure_optimizers()
    before = [p.detach().clone() for p in module.objective.parameters()]
    batches = iter(setup.data.train_dataloader())
    for _ in range(count):
        x, y = next(batches)
        for transform in module.transforms:
            x, y = transform(x, y)
        terms = module.objective(x, y)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    after = list(module.objective.parameters())
    assert all(torch.isfinite(p).all() for p in after)
    assert any(not torch.equal(p, q) for p, q in zip(before, after, strict=True))
    return setup, terms


@pytest.fixture(scope="module")
def composed(compose_train):
    """The config of a tiny run for each model, and the entries of each file."""
    sizes = {"mlp": ["model.widths=[6]"], "cnn": ["model.stages=[[3],[4]]", "model.head=[5]"]}
    small = ["data.train_size=40", "data.batch_size=8", "trainer.max_epochs=1"]
    configs = {model: compose_train(f"model={model}", *sizes[model], *small) for model in sizes}
    entries = {name: compose_train(f"regularizer={name}").regularizer for name in FILES}

    def config(model, *names):
        cfg = copy.deepcopy(configs[model])
        for name in names:
            with open_dict(cfg):
                cfg.regularizer.update(entries[name])
        return cfg

    return config, entries


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_trains_alone(name, model, composed):
    config, _ = composed
    if (name, model) == ("spatial_dropout", "mlp"):
        with pytest.raises(UserError, match=r"spatial_dropout.*site.*input_dropout, dropout"):
            build(config(model, name))
        return
    setup, terms = steps(config(model, name))
    row, kinds = TABLE[name], (Penalty, Update, BatchTransform, Dropout, Callback)
    places = (
        list(setup.module.objective.penalties.values()),
        list(setup.module.updates),
        list(setup.module.transforms),
        [module for module in setup.module.objective.network.modules() if isinstance(module, Dropout)],
        list(setup.callbacks.values()),
    )
    for kind, found in zip(kinds, places, strict=True):
        belongs = row.kind is not None and issubclass(row.kind, kind)
        assert [type(item) for item in found] == [made_by(row)] * (len(found) if belongs else 0)
        assert bool(found) == belongs
    assert list(terms) == ["loss"] + [f"penalty/{name}"] * (row.kind is Penalty)


@pytest.mark.parametrize("one", FILES)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_trains_in_every_pair(one, model, composed):
    config, entries = composed
    files = [name for name in FILES if (name, model) != ("spatial_dropout", "mlp")]
    for first, other in combinations(files, 2):
        if first == one and not set(entries[one]) & set(entries[other]):  # variants of one thing share a key
            setup, _ = steps(config(model, one, other))
            stages = [transform.stage for transform in setup.module.transforms]
            assert stages == sorted(stages)
