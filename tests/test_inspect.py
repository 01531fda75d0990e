"""regnet-inspect: what acts on what, and how strongly, held against what the optimizers do."""

import pytest
import torch
from torch import nn

from regnet.commands.inspect import acting_on, beside_gradient, decays_of, in_gradient, warnings
from regnet.compose.build import build
from tests.helpers.commands import inspect
from tests.helpers.folders import grid, write


@pytest.fixture
def inspected(compose_train):
    return lambda *overrides: build(compose_train("model.widths=[8]", *overrides))


def shrunk(optimizer_of, coupled=0.0, decoupled=0.0):
    """What one step leaves of a weight of 1 whose data gradient is zero."""
    w = nn.Parameter(torch.ones(1, dtype=torch.double))
    optimizer = optimizer_of([w])
    (0.5 * coupled * w.square().sum()).backward()
    optimizer.step()
    return w.item() - optimizer.param_groups[0]["lr"] * decoupled


def test_conventions_are_those_of_the_optimizers():
    lr, strength = 0.1, 0.02

    def sgd(decay):
        return lambda params: torch.optim.SGD(params, lr=lr, weight_decay=decay)

    found = in_gradient("l2", 2 * strength, lr, plain=True)
    expected = shrunk(sgd(0.0), coupled=2 * found.penalty)
    assert expected == pytest.approx(1 - lr * 2 * strength)
    assert shrunk(sgd(found.coupled)) == pytest.approx(expected)
    assert shrunk(sgd(0.0), decoupled=found.decoupled) == pytest.approx(expected)
    assert 1 - found.step == pytest.approx(expected)
    found = beside_gradient("weight_decay", strength, lr, plain=True)
    assert shrunk(sgd(0.0), coupled=2 * found.penalty) == pytest.approx(1 - found.step)
    assert shrunk(lambda p: torch.optim.AdamW(p, lr=lr, weight_decay=found.decoupled)) == pytest.approx(1 - found.step)


def test_adam_and_momentum_have_no_equivalent(inspected):
    for optimizer in (["optimizer=adam"], ["optimizer=sgd"]):
        l2, decay = decays_of(inspected("regularizer=[l2,weight_decay]", *optimizer))
        assert (l2.coupled, l2.decoupled, l2.step) == (pytest.approx(6e-3), None, None)
        assert (decay.penalty, decay.coupled, decay.decoupled) == (None, None, pytest.approx(1.0))
    (l2,) = decays_of(inspected("regularizer=l2", "optimizer=sgd", "optimizer.momentum=0"))
    assert (l2.decoupled, l2.step) == (pytest.approx(6e-3), pytest.approx(6e-4))
    (coupled,) = decays_of(inspected("regularizer=coupled_decay", "regularizer.weight_decay.strength=0.02"))
    assert (coupled.penalty, coupled.coupled, coupled.decoupled) == (pytest.approx(0.01), pytest.approx(0.02), None)
    (own,) = decays_of(inspected("optimizer=adamw", "optimizer.weight_decay=0.5"))
    assert own == ("optimizer.weight_decay", None, None, 0.5, pytest.approx(5e-4))


def test_every_parameter_with_what_acts_on_it(inspected):
    chosen = "regularizer=[l1,max_norm]", "regularizer.l1.select=layer:0", "+optimizer.weight_decay=0.1"
    acting = acting_on(inspected(*chosen))
    own = ("optimizer.weight_decay", 0.1)
    assert acting["model.hidden.0.0.weight"] == [("l1", pytest.approx(1e-4)), ("max_norm", 1.0), own]
    assert acting["model.head.weight"] == [("max_norm", 1.0), own]
    assert acting["model.head.bias"] == [own]


def test_a_weight_under_two_decays_is_warned_of(inspected):
    assert warnings(inspected("regularizer=[l1,l2,max_norm]")) == []
    both = inspected("regularizer=[l2,weight_decay]", "regularizer.weight_decay.select=model.head.weight")
    assert warnings(both) == ["l2 and weight_decay both shrink model.head.weight"]
    idle = inspected("regularizer=[l2,weight_decay]", "regularizer.weight_decay.strength=0.0")
    assert warnings(idle) == []


def test_the_command(tmp_path):
    done = inspect("regularizer=[dropout,l2,mixup,ema]", "regularizer.dropout.schedule=early:0.1", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    for part in ("model.head.weight", "l2 3e-3", "model.hidden.0.3", "early:0.1", "the training batch", "Ema"):
        assert part in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_images_class_by_class(tmp_path):
    write(tmp_path / "D", *grid("train", 5, ("cat", "[bold]")), *grid("val", 2, ("cat", "[bold]")), "train/cat/a.heic")
    done = inspect("data=image_folder", "data.path=D", "data.size=6", "data.test_fraction=0.2", cwd=tmp_path)
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert ["class", "train", "val", "test"] in rows
    assert ["[bold]", "4", "2", "1"] in rows
    assert ["cat", "4", "2", "1"] in rows
    assert "warning: data.path=D: passed over 1 .heic in cat" in done.out


def test_a_regression_has_no_classes(tmp_path):
    done = inspect("data=diabetes", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "class " not in done.out
