"""LARS and LAMB: their papers' algorithms in NumPy, torch's own optimizers where they agree with them, and mistakes."""

import copy
import doctest
import importlib
import re
from functools import partial

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from regnet.compose.config_files import config_folder
from regnet.compose.make import make
from regnet.optimizers import LAMB, LARS
from tests.helpers.equality import same
from tests.helpers.quick_hydra import quick_hydra

SHAPES = {"dense": (3, 4), "filter": (2, 3, 2, 2), "zeros": (2, 2), "still": (2, 3), "bias": (5,), "scalar": ()}
STEPS = 7
RATES = [1.0, 1.0, 0.5, 0.5, 2.0, 0.0, 0.1]  # as a schedule changes them

LARS_NUMBERS = [
    {"momentum": 0.0, "weight_decay": 0.0, "trust_coefficient": 0.02},
    {"momentum": 0.9, "weight_decay": 0.0, "trust_coefficient": 1e-3},
    {"momentum": 0.5, "weight_decay": 0.3, "trust_coefficient": 0.1},
]
LAMB_NUMBERS = [
    {"betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.0},
    {"betas": (0.5, 0.8), "eps": 1e-2, "weight_decay": 0.3},
    {"betas": (0.0, 0.0), "eps": 1e-3, "weight_decay": 0.01},
]


def start(seed=0):
    draw = np.random.default_rng(seed)
    return {name: np.zeros(shape) if name == "zeros" else draw.normal(size=shape) for name, shape in SHAPES.items()}


def gradients(seed=1):
    draw = np.random.default_rng(seed)
    for _ in range(STEPS):
        yield {name: np.zeros(shape) if name == "still" else draw.normal(size=shape) for name, shape in SHAPES.items()}


def lars(rates, momentum, weight_decay, trust_coefficient):
    """You et al. 2017, algorithm 1, one layer after the other."""
    w = start()
    v = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for rate, grads in zip(rates, gradients(), strict=True):
        for name, g in grads.items():
            local, decay = 1.0, 0.0
            if len(SHAPES[name]) > 1:
                decay = weight_decay
                size, slope = np.sqrt((w[name] ** 2).sum()), np.sqrt((g**2).sum())
                if size > 0 and slope + decay * size > 0:
                    local = trust_coefficient * size / (slope + decay * size)
            v[name] = momentum * v[name] + rate * local * (g + decay * w[name])
            w[name] = w[name] - v[name]
    return w


def lamb(rates, betas, eps, weight_decay):
    """You et al. 2020, algorithm 2, one layer after the other."""
    w = start()
    m = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    v = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for t, (rate, grads) in enumerate(zip(rates, gradients(), strict=True), 1):
        for name, g in grads.items():
            m[name] = betas[0] * m[name] + (1 - betas[0]) * g
            v[name] = betas[1] * v[name] + (1 - betas[1]) * g**2
            update = m[name] / (1 - betas[0] ** t) / (np.sqrt(v[name] / (1 - betas[1] ** t)) + eps)
            ratio = 1.0
            if len(SHAPES[name]) > 1:
                update = update + weight_decay * w[name]
                size, length = np.sqrt((w[name] ** 2).sum()), np.sqrt((update**2).sum())
                ratio = size / length if size > 0 and length > 0 else 1.0
            w[name] = w[name] - rate * ratio * update
    return w


def trained(kind, rates, dtype=torch.float64, only=tuple(SHAPES), **numbers):
    weights = {name: nn.Parameter(torch.tensor(w, dtype=dtype)) for name, w in start().items() if name in only}
    optimizer = kind(weights.values(), lr=rates[0], **numbers)
    for rate, grads in zip(rates, gradients(), strict=True):
        optimizer.param_groups[0]["lr"] = rate
        for name, w in weights.items():
            w.grad = torch.tensor(grads[name], dtype=dtype)
        optimizer.step()
    return {name: w.detach() for name, w in weights.items()}


CASES = [(LARS, lars, numbers) for numbers in LARS_NUMBERS] + [(LAMB, lamb, numbers) for numbers in LAMB_NUMBERS]


@pytest.mark.parametrize(("kind", "reference", "numbers"), CASES)
@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 0.05)])
def test_the_steps_are_those_of_the_paper(kind, reference, numbers, dtype, relative):
    found = trained(kind, RATES, dtype, **numbers)
    for name, expected in reference(RATES, **numbers).items():
        assert found[name].dtype == dtype
        np.testing.assert_allclose(found[name].double().numpy(), expected, rtol=relative, atol=relative)


@pytest.mark.parametrize(
    ("kind", "theirs", "numbers"),
    [
        (LARS, partial(torch.optim.SGD, momentum=0.9), {"momentum": 0.9, "weight_decay": 0.3}),
        (LAMB, partial(torch.optim.Adam, eps=1e-6), {"weight_decay": 0.3}),
    ],
)
def test_biases_and_norms_take_the_step_of_torchs_optimizer(kind, theirs, numbers):
    few = ("bias", "scalar")
    found, expected = trained(kind, [0.1] * STEPS, only=few, **numbers), trained(theirs, [0.1] * STEPS, only=few)
    for name in few:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [partial(LARS, momentum=0, trust_coefficient=0.05), partial(LAMB, eps=1e-30)])
def test_neither_the_loss_nor_the_layer_has_a_scale(kind):
    """A loss or a weight times 1,000 changes no weight's relative step: what the methods are for."""

    def moved(of_loss, of_weight):
        torch.manual_seed(0)
        w = nn.Parameter(of_weight * torch.randn(4, 5, dtype=torch.float64))
        before = w.detach().clone()
        w.grad = of_loss * torch.randn(4, 5, dtype=torch.float64)
        kind([w], lr=1.0).step()
        return (w.detach() - before) / before.norm()

    torch.testing.assert_close(moved(1, 1), moved(1000, 1), rtol=1e-9, atol=0)
    torch.testing.assert_close(moved(1, 1), moved(1, 1000), rtol=1e-9, atol=0)


@pytest.mark.parametrize("kind", [LARS, LAMB])
def test_what_has_no_gradient_stays_and_the_closure_is_called_once(kind):
    one, other = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        loss = one.square().sum()
        loss.backward()
        return loss

    optimizer = kind([{"params": [one], "lr": 0.5}, {"params": [other]}])
    assert optimizer.step(closure).item() == 4
    assert calls == [True]
    assert (one < 1).all()
    assert other.tolist() == [[1, 1], [1, 1]]
    assert list(optimizer.state) == [one]


@pytest.mark.parametrize(("kind", "numbers"), [(LARS, LARS_NUMBERS[2]), (LAMB, LAMB_NUMBERS[1])])
def test_it_goes_on_from_its_state(kind, numbers):
    def steps(optimizer, weights, number):
        for k in range(number):
            for i, w in enumerate(weights):
                w.grad = torch.full_like(w, 0.1 * (i + 1)) + w * k
            optimizer.step()

    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(3))]
    optimizer = kind(weights, lr=0.5, **numbers)
    steps(optimizer, weights, 3)
    again = [nn.Parameter(w.detach().clone()) for w in weights]
    other = kind(again)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one in ((optimizer, weights), (other, again)):
        steps(*one, 2)
    assert same([w.detach() for w in weights], [w.detach() for w in again])
    assert same(optimizer.state_dict(), other.state_dict())


def test_a_learning_rate_can_be_a_tensor():
    for kind in (LARS, LAMB):
        rate = torch.tensor(0.5, dtype=torch.float64)
        assert same(trained(kind, [rate] * STEPS), trained(kind, [0.5] * STEPS))


@pytest.mark.parametrize(
    ("kind", "numbers", "words"),
    [
        (LARS, {"lr": -1}, "lr must be a finite number >= 0, got -1"),
        (LARS, {"momentum": 1}, r"momentum must be in [0, 1), got 1"),
        (LARS, {"weight_decay": -0.1}, "weight_decay must be a finite number >= 0, got -0.1"),
        (LARS, {"trust_coefficient": 0}, "trust_coefficient must be a finite number > 0, got 0"),
        (LAMB, {"lr": float("nan")}, "lr must be a finite number >= 0, got nan"),
        (LAMB, {"betas": (0.9, 1.0)}, r"betas[1] must be in [0, 1), got 1.0"),
        (LAMB, {"eps": 0}, "eps must be a finite number > 0, got 0"),
        (LAMB, {"weight_decay": -1}, "weight_decay must be a finite number >= 0, got -1"),
    ],
)
def test_a_number_out_of_its_range_is_told(kind, numbers, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        kind([nn.Parameter(torch.ones(2, 2))], **numbers)


@pytest.mark.parametrize("kind", [LARS, LAMB])
def test_what_it_cannot_take_is_told(kind):
    with pytest.raises(ValueError, match=f"{kind.__name__} takes real parameters, and number 1 is complex"):
        kind([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, dtype=torch.complex64))])
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=f"{kind.__name__} takes dense gradients: make the layer with sparse=False"):
        kind(table.parameters()).step()


@pytest.mark.parametrize(("option", "kind"), [("lars", LARS), ("lamb", LAMB)])
def test_its_yaml_gives_numbers_of_the_class(option, kind):
    with quick_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("train", [f"optimizer={option}", "optimizer.weight_decay=0.3"])
    made = make(cfg.optimizer, "optimizer")([nn.Parameter(torch.ones(2, 2))])
    assert type(made) is kind
    given = {name: value for name, value in cfg.optimizer.items() if not name.startswith("_")}
    assert given["weight_decay"] == 0.3
    assert {name: tuple(v) if name == "betas" else v for name, v in given.items()}.items() <= made.defaults.items()


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_the_example_of_the_docstring_does_what_it_shows(name):
    done = doctest.testmod(importlib.import_module(f"regnet.optimizers.{name}"))
    assert (done.failed, done.attempted) == (0, 8)
