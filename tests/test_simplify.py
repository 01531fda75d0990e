"""A simplified recording computes the same bits as the recording, and writes what it writes."""

import random

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import regnet.training.trace
from regnet.training.simplify import simplified
from regnet.training.trace import Traced, _Prepared, _same


def check(function, *arguments, settings=()):
    """The simplified form returns, writes and draws what the recorded one does, also after its results were changed."""
    recorded = make_fx(function)(*(one.clone() for one in arguments))
    plain = recorded.forward
    with torch.no_grad():
        prepare, compute = simplified(recorded, [one.clone() for one in arguments], settings)
        prepared = prepare(*(arguments[i] for i in settings))
        expected, results = _outcome(plain, arguments)
        for _ in range(2):
            got, results = _outcome(lambda *given: compute(*prepared, *given), arguments)
            assert _same(got, expected)
            for one in results:
                if 0 not in one.stride():
                    one.fill_(7)
    return recorded


def _outcome(computation, arguments):
    torch.manual_seed(0)
    given = [one.clone() for one in arguments]
    results = computation(*given)
    memories = len({one.data_ptr() for one in results})
    return [[one.clone() for one in results], given, [torch.get_rng_state()], [torch.tensor(memories)]], results


def calls(recorded):
    return sum(node.op == "call_function" for node in recorded.graph.nodes)


W, X = torch.randn(6, 5), torch.randn(4, 5)


def gradient(w, x, strength):
    with torch.enable_grad():
        w = w.detach().requires_grad_()
        loss = torch.relu(x @ w.t()).mul(2).log_softmax(1)[:, 0].mean() + (strength.float() * 2 + 1) * w.abs().sum()
        return loss.detach(), *torch.autograd.grad(loss, [w])


def test_a_gradient_keeps_its_bits_in_fewer_calls():
    strength = torch.tensor(0.3, dtype=torch.float64)
    simple = check(gradient, W, X, strength, settings=[2])
    assert calls(simple) < 0.7 * calls(make_fx(gradient)(W, X, strength))


CASES = {
    "an argument that is written": (lambda a, b: (a.mul_(2).add(1), b), [W, X]),
    "one through a view": (lambda a: (a[1:].mul_(2).sum(), a.t().relu()), [W]),
    "a result twice": (lambda a: ((b := a + 1), b), [W]),
    "a view of a result": (lambda a: ((b := a * 2), b.t()), [W]),
    "an argument as it is": (lambda a: (a, a.view(-1)), [W]),
    "what is read later": (lambda a: ((b := a + 1).relu() * 2 + b,), [W]),
    "what is read later through a view": (lambda a: ((b := a + 1).relu() * 2 + b.view(-1).sum(),), [W]),
    "an expanded one": (lambda a: (a[:1].clone().expand(6, 5).relu() + a,), [W]),
    "a wider type": (lambda a: ((a + 1).mul(torch.ones((), dtype=torch.float64)).double() * 2,), [W]),
    "both factors one": (lambda a: ((b := a + 1) * b,), [W]),
    "both factors the same memory": (lambda a: ((b := a[:5] + 1) * b.t(),), [W]),
    "a constant that is written": (lambda a: (torch.zeros_like(a).add_(a), torch.zeros_like(a)), [W]),
    "a constant that is returned": (lambda a: (torch.ones_like(a[:2]), a), [W]),
    "unused random numbers": (lambda a: (torch.rand(3).sum() * 0 + a, torch.rand(2)), [W]),
    "many at once": (lambda a, b: tuple(torch._foreach_mul(torch._foreach_add([a, b], 1), 3)), [W, X]),
    "many, of which one is read later": (
        lambda a, b: ((c := torch._foreach_add([a, b], 1))[0] * torch._foreach_mul(c, 2)[0],), [W, X]
    ),
    "parts": (lambda a: tuple(part.relu() for part in (a + 1).split(2)), [W]),
    "an integer": (lambda a: ((a > 0).to(torch.int64).add(1).mul(2),), [W]),
    "a maximum": (lambda a: tuple((a + 1).max(1)), [W]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_memory_is_written_only_where_nothing_reads_it(name):
    function, arguments = CASES[name]
    check(function, *arguments)


def test_a_setting_that_is_written_is_read_at_its_time():
    check(lambda w, s: (w * (v := s.view(1)), s.add_(1), v * 2), W, torch.ones(()), settings=[1])


OPERATIONS = [
    lambda pick: pick() + pick(),
    lambda pick: pick() * pick(),
    lambda pick: pick() - 0.5,
    lambda pick: pick().relu(),
    lambda pick: pick().abs().sqrt(),
    lambda pick: pick().t().contiguous().t(),
    lambda pick: pick().view(-1).view(4, 4),
    lambda pick: pick().t(),
    lambda pick: pick() @ pick(),
    lambda pick: pick().clone().mul_(pick()),
    lambda pick: pick().clone().t().add_(1),
    lambda pick: torch.ones_like(pick()) * 3,
    lambda pick: pick().sum(0, keepdim=True).expand(4, 4),
    lambda pick: torch.rand(4, 4) < pick(),
    lambda pick: torch.where(pick() > 0, pick(), pick()),
    lambda pick: torch._foreach_mul([pick(), pick()], 2)[1],
    lambda pick: pick().clamp(-1, 1),
    lambda pick: pick()[1:].clone().mean().expand(4, 4),
]


@pytest.mark.parametrize("seed", [*range(40), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(40, 200))])
def test_random_programs_keep_their_bits(seed):
    def program(*arguments):
        chance, values = random.Random(seed), list(arguments)
        for _ in range(25):
            made = chance.choice(OPERATIONS)(lambda: chance.choice(values[-6:] + list(arguments)).float().contiguous())
            values.append(made)
            if chance.random() < 0.1:
                arguments[0].add_(made.float().mean())
        return (*(chance.choice(values) for _ in range(3)), values[-1])

    generator = torch.Generator().manual_seed(seed)
    arguments = [torch.randn(4, 4, generator=generator) for _ in range(4)]
    check(program, *arguments, settings=[3])


def test_what_follows_from_settings_is_computed_when_they_change():
    traced = Traced(gradient, 1, 0)
    prepared = Traced(lambda w, strength, x: gradient(w, x, strength), 1, 1)
    strength = torch.tensor(0.3, dtype=torch.float64)
    for value in (0.3, 0.3, 0.7, 0.0):
        strength.fill_(value)
        assert _same(list(prepared(W, strength, X)), list(traced(W, X, strength)))
    another = torch.tensor(2.0, dtype=torch.float64)
    assert _same(list(prepared(W, another, X)), list(traced(W, X, another)))


def test_recording_leaves_arguments_and_random_numbers_alone():
    def function(w, x):
        w.add_(1)
        return (torch.rand(3) + w.sum() + x.sum(),)

    torch.manual_seed(0)
    expected = torch.rand(3)
    traced, w = Traced(function, 1), W.clone()
    torch.manual_seed(0)
    (got,) = traced(w, X)
    assert torch.equal(w, W + 1)
    torch.testing.assert_close(got, expected + w.sum() + X.sum())
    torch.manual_seed(0)
    torch.testing.assert_close(traced(w, X)[0], expected + w.sum() + X.sum())


@pytest.mark.parametrize("fault", ["wrong", "raises"])
def test_a_simplification_that_is_wrong_is_not_used(monkeypatch, fault):
    def wrong(recorded, arguments, settings):
        if fault == "raises":
            raise KeyError("an operation of tomorrow")
        plain = recorded.forward
        return lambda *_: (), lambda *given: [2 * one for one in plain(*given)]

    monkeypatch.setattr(regnet.training.trace, "simplified", wrong)
    traced = Traced(lambda w: (w + 1,), 0)
    assert torch.equal(traced(W)[0], W + 1)
    (recorded,) = traced.recorded.values()
    assert not isinstance(recorded, _Prepared)
