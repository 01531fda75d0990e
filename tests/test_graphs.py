"""When a function is captured, replayed and compared, with a GPU that is made up; on a real one, what comes of it."""

import logging
from contextlib import contextmanager, nullcontext

import pytest
import torch

from regnet.core import graphs
from regnet.core.graphs import WARM, Graphed, captured, once


class Machine:
    """Captures the function's one call in a capture, and computes it again for each replay."""

    def __init__(self, compute, wrong=0.0, error=None):
        self.compute, self.wrong, self.error = compute, wrong, error
        self.capturing, self.calls, self.replays, self.restored = None, 0, 0, 0

    def function(self, *tensors):
        if self.capturing is None:
            self.calls += 1
            return self.compute(*tensors)
        if self.error:
            raise self.error
        results = self.compute(*(tensor.clone() for tensor in tensors))  # nothing is written in a capture
        self.capturing.what = tensors, results
        return results

    def replay(self, graph):
        self.replays += 1
        tensors, results = graph.what
        for place, new in zip(results, self.compute(*tensors), strict=True):
            place.copy_(new + self.wrong)

    def install(self, monkeypatch):
        machine = self

        class Graph:
            def replay(self):
                machine.replay(self)

        class Generator:
            def clone_state(self):
                return "before"

            def graphsafe_set_state(self, state):
                machine.restored += state == "before"

        class Stream:
            def wait_stream(self, other):
                pass

        @contextmanager
        def graph(graph, capture_error_mode):
            machine.capturing = graph
            try:
                yield
            finally:
                machine.capturing = None

        for name, value in {
            "CUDAGraph": Graph,
            "graph": graph,
            "Stream": Stream,
            "current_stream": Stream,
            "set_stream": lambda _: None,
            "stream": lambda _: nullcontext(),
            "current_device": lambda: 0,
            "default_generators": (Generator(),),
            "synchronize": lambda: None,
            "get_rng_state": torch.get_rng_state,
            "set_rng_state": torch.set_rng_state,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
        return self


def step(weight, x):
    """Writes into its first argument."""
    weight.add_(x.sum())
    return weight * 2, x + 1


@pytest.mark.parametrize("expanded", [True, False])
def test_a_graph_gives_what_the_function_gives(expanded, monkeypatch):
    machine = Machine(step).install(monkeypatch)
    graphed, weight = Graphed(machine.function, 1), torch.zeros(3)
    for n in range(WARM + 4):
        x = torch.tensor(float(n)).expand(2) if expanded else torch.full((2,), float(n))
        results = graphed(weight, x)
        w = torch.zeros(3)
        for m in range(n + 1):
            double, more = step(w, torch.full((2,), float(m)))
        for got, right in zip((weight, *results), (w, double, more), strict=True):
            torch.testing.assert_close(got, right)
    assert machine.calls == WARM + 1  # the last beside the first replay
    assert machine.replays == 4


def test_each_place_that_is_written_into_has_its_graph(monkeypatch):
    machine = Machine(step).install(monkeypatch)
    graphed, stacked = Graphed(machine.function, 1), torch.zeros(4, 3)
    for _ in range(WARM + 3):
        for half in (stacked[:2], stacked[2:]):
            graphed(half, torch.ones(2))
    assert len(graphed.captured) == 2
    assert stacked.eq(2 * (WARM + 3)).all()
    graphed.forget()
    assert not graphed.captured


def test_old_graphs_make_room(monkeypatch):
    machine = Machine(step).install(monkeypatch)
    graphed, weights = Graphed(machine.function, 1), [torch.zeros(3) for _ in range(20)]
    for weight in weights:
        for _ in range(WARM + 2):
            graphed(weight, torch.ones(2))
    assert 0 < len(graphed.captured) <= graphs.MOST
    assert all(weight.eq(2 * (WARM + 2)).all() for weight in weights)


@pytest.mark.parametrize("machine", [Machine(step, wrong=1.0), Machine(step, error=RuntimeError("it waits"))])
def test_what_cannot_be_replayed_is_called_as_it_is(machine, monkeypatch, caplog):
    machine.install(monkeypatch)
    graphed, weight = Graphed(machine.function, 1), torch.zeros(3)
    with caplog.at_level(logging.INFO):
        for _ in range(WARM + 3):
            double, _ = graphed(weight, torch.ones(2))
    assert not graphed.works
    assert weight.eq(2 * (WARM + 3)).all(), "the trial leaves no trace"
    assert double.eq(4 * (WARM + 3)).all()
    assert machine.restored == (machine.error is not None)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("goes on without a CUDA graph: ")


def test_other_mistakes_are_not_hidden(monkeypatch):
    machine = Machine(step, error=TypeError("a mistake")).install(monkeypatch)
    graphed, weight = Graphed(machine.function, 1), torch.zeros(3)
    for _ in range(WARM):
        graphed(weight, torch.ones(2))
    with pytest.raises(TypeError, match="a mistake"):
        graphed(weight, torch.ones(2))


def test_only_a_gpu_has_graphs():
    assert captured(step, 1, torch.device("cpu")) is step
    assert isinstance(captured(step, 1, torch.device("cuda")), Graphed)


def test_what_was_expanded_is_kept_once():
    x = torch.arange(6).view(2, 1, 3)
    assert once(x.expand(2, 5, 3)).shape == (2, 1, 3)
    assert once(x).shape == x.shape
    assert once(torch.tensor(1.0)).shape == ()
    assert once(torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.gpu
def test_on_a_gpu_a_graph_gives_what_the_function_gives():
    torch.manual_seed(0)
    start = torch.randn(4, 64, 64, device="cuda")

    def product(weight, x):
        y = torch.bmm(x, weight)
        weight.sub_(0.01 * y.mT @ x)
        return y, y.square().mean()

    eager, weight, graphed = start.clone(), start.clone(), None
    graphed = captured(product, 1, weight.device)
    for _ in range(WARM + 5):
        x = torch.randn(64, 64, device="cuda").expand(4, 64, 64)
        for got, right in zip(graphed(weight, x), product(eager, x), strict=True):
            torch.testing.assert_close(got, right)
        torch.testing.assert_close(weight, eager)
    assert graphed.captured


@pytest.mark.gpu
def test_on_a_gpu_a_graph_draws_what_the_function_draws():
    def noisy(weight):
        weight.add_(torch.rand_like(weight))
        return weight, torch.randn_like(weight)

    found = []
    for make in (lambda function: function, lambda function: captured(function, 1, torch.device("cuda"))):
        torch.manual_seed(0)
        weight, function = torch.zeros(1000, device="cuda"), make(noisy)
        found.append([tuple(tensor.clone() for tensor in function(weight)) for _ in range(WARM + 5)])
    torch.testing.assert_close(*found)
    assert function.captured


@pytest.mark.gpu
def test_on_a_gpu_what_waits_is_called_as_it_is():
    def waits(weight):
        weight.add_(1)
        return (weight * weight.sum().item(), torch.rand_like(weight))

    weight = torch.zeros(100, device="cuda")
    graphed = captured(waits, 1, weight.device)
    for n in range(WARM + 4):
        graphed(weight)
        assert weight.eq(n + 1).all()
    assert not graphed.works
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    torch.rand(3, device="cuda").sum().item()  # the generator is not left in a capture
