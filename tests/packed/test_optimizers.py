"""Stacked optimizers are torch.optim's, each network with its own numbers and its own count of steps."""

import pytest
import torch

from regnet.optimizers import LAMB, LARS
from regnet.packed.rules import stack

SHAPES = {"weight": (3, 4), "bias": (3,), "filter": (2, 1, 2, 2)}
ADAM = [
    {"lr": 1e-3},
    {"lr": 1e-1, "betas": (0.5, 0.9), "weight_decay": 0.3},
    {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-3, "weight_decay": 0.0},
]
SGD = [{"lr": 0.1}, {"lr": 0.01, "momentum": 0.9}, {"lr": 0.2, "momentum": 0.5, "weight_decay": 0.1}]
NESTEROV = [{"lr": 0.1, "momentum": 0.9, "nesterov": True}, {"lr": 0.3, "momentum": 0.2, "nesterov": True}] * 2
RMSPROP = [
    {"lr": 1e-2},
    {"lr": 1e-1, "alpha": 0.5, "weight_decay": 0.3},
    {"lr": 1e-2, "eps": 1e-3},
]
LAYERWISE_SGD = [
    {"trust_coefficient": 0.1, "momentum": 0.0},
    {"lr": 10.0, "momentum": 0.5},
    {"lr": 0.1, "trust_coefficient": 0.5, "weight_decay": 0.3},
]
CASES = {
    "rmsprop": (torch.optim.RMSprop, RMSPROP),
    "rmsprop, all the same": (torch.optim.RMSprop, RMSPROP[1:2] * 3),
    "rmsprop with momentum": (
        torch.optim.RMSprop,
        [{**one, "momentum": 0.3 + 0.2 * i} for i, one in enumerate(RMSPROP)],
    ),
    "centered rmsprop": (torch.optim.RMSprop, [{**one, "centered": True, "momentum": 0.5} for one in RMSPROP]),
    "adagrad": (torch.optim.Adagrad, [{}, {"lr": 0.1, "lr_decay": 0.2}, {"weight_decay": 0.3, "eps": 1e-3}]),
    "adagrad that begins higher": (torch.optim.Adagrad, [{"initial_accumulator_value": 0.1 * k} for k in range(3)]),
    "nadam": (torch.optim.NAdam, [{**one, "momentum_decay": 0.1 * i} for i, one in enumerate(ADAM)]),
    "nadam with decoupled decay": (torch.optim.NAdam, [{**one, "decoupled_weight_decay": True} for one in ADAM]),
    "adam": (torch.optim.Adam, ADAM),
    "adam, all the same": (torch.optim.Adam, ADAM[1:2] * 3),
    "adamw": (torch.optim.AdamW, ADAM),
    "adamw, all the same": (torch.optim.AdamW, ADAM[1:2] * 3),
    "sgd": (torch.optim.SGD, SGD),
    "sgd, plain": (torch.optim.SGD, SGD[:1] * 3),
    "nesterov": (torch.optim.SGD, NESTEROV),
    "lars": (LARS, LAYERWISE_SGD),
    "lars, all the same": (LARS, LAYERWISE_SGD[2:] * 3),
    "lamb": (LAMB, ADAM),
    "lamb, all the same": (LAMB, ADAM[1:2] * 3),
}


def networks(count, dtype):
    return [
        {name: torch.randn(shape, dtype=dtype).requires_grad_() for name, shape in SHAPES.items()} for _ in range(count)
    ]


def stacked(each):
    return {name: torch.stack([one[name].detach() for one in each]) for name in SHAPES}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_update_is_that_of_torch(case, dtype, relative):
    kind, settings = CASES[case]
    each = networks(len(settings), dtype)
    optimizers = [kind(list(one.values()), **setting) for one, setting in zip(each, settings, strict=True)]
    params = stacked(each)
    rule = stack(optimizers, params)
    for number in range(6):
        grads = {name: torch.randn_like(p) for name, p in params.items()}
        rows = slice(1, None) if number == 2 else slice(None)  # the first network sits a step out
        for k, one in list(enumerate(each))[rows]:
            for name, p in one.items():
                p.grad = grads[name][k].clone()
            optimizers[k].step()
        rule.step({name: p[rows] for name, p in params.items()}, {name: g[rows] for name, g in grads.items()}, rows)
        for k, one in enumerate(each):
            for name, p in one.items():
                torch.testing.assert_close(params[name][k], p.detach(), rtol=relative, atol=relative)


STATES = ("adam", "adamw, all the same", "sgd", "centered rmsprop", "adagrad", "nadam", "lars", "lamb")


@pytest.mark.parametrize("case", STATES)
def test_the_state_goes_to_torch_and_back(case):
    kind, settings = CASES[case]
    each = networks(len(settings), torch.float64)
    params = stacked(each)
    make = lambda: [kind(list(one.values()), **setting) for one, setting in zip(each, settings, strict=True)]  # noqa: E731
    rule = stack(make(), params)
    step = lambda rule, params, g: rule.step(params, g)  # noqa: E731
    for _ in range(3):
        step(rule, params, {name: torch.randn_like(p) for name, p in params.items()})
    again = stack(make(), params)
    alone = make()
    for k, optimizer in enumerate(alone):
        state = rule.state_of(k, list(SHAPES))
        storages = [tensor.data_ptr() for own in state.values() for tensor in own.values()]
        assert len(storages) == len(set(storages)), "one parameter's count of steps must not be another's"
        again.load(k, state, list(SHAPES), steps=3)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    grads = {name: torch.randn_like(p) for name, p in params.items()}
    before = {name: p.clone() for name, p in params.items()}
    rule.step(params, grads)
    copy = {name: p.clone() for name, p in before.items()}
    again.step(copy, grads)
    for name, p in params.items():
        torch.testing.assert_close(copy[name], p, rtol=1e-12, atol=1e-12)
    for k, (one, optimizer) in enumerate(zip(each, alone, strict=True)):
        for name, p in one.items():
            p.data, p.grad = before[name][k].clone(), grads[name][k].clone()
        optimizer.step()
        # torch goes on with NAdam's product in the weights' precision
        relative = 1e-7 if kind is torch.optim.NAdam else 1e-12
        for name, p in one.items():
            torch.testing.assert_close(p.detach(), params[name][k], rtol=relative, atol=relative)


def test_networks_that_leave_take_their_state_with_them():
    each = networks(3, torch.float64)
    optimizers = [torch.optim.Adam(list(one.values()), **setting) for one, setting in zip(each, ADAM, strict=True)]
    params = stacked(each)
    whole, part = stack(optimizers, params), stack(optimizers, params)
    for rule in (whole, part):
        torch.manual_seed(1)
        rule.step({name: p.clone() for name, p in params.items()}, {n: torch.randn_like(p) for n, p in params.items()})
    index = torch.tensor([2, 0])
    part.keep(index)
    grads = {name: torch.randn_like(p) for name, p in params.items()}
    kept = {name: p[index] for name, p in params.items()}
    part.step(kept, {name: g[index] for name, g in grads.items()})
    whole.step(params, grads)
    for name, p in params.items():
        torch.testing.assert_close(kept[name], p[index])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: torch.optim.Adamax(p), "Adamax has no stacked form; SGD, Adam, AdamW, RMSprop, .*, LARS, LAMB have"),
        (lambda p: torch.optim.Adam(p, amsgrad=True), "amsgrad has no stacked form"),
        (lambda p: torch.optim.SGD([{"params": p[:1]}, {"params": p[1:]}]), "several parameter groups"),
    ],
)
def test_what_has_no_stacked_form_is_refused(make, words):
    each = networks(2, torch.float32)
    with pytest.raises(ValueError, match=words):
        stack([make(list(one.values())) for one in each], stacked(each))
