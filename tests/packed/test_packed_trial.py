"""What of a person's own is packed, and what is found to differ before a pack is trained, and runs alone."""

import copy
import inspect
import random
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import torch

from regnet.compose.build import build
from regnet.compose.config_files import config_folder
from regnet.compose.shared_data import SharedData
from regnet.core.exact import Exact
from regnet.packed import optimizers
from regnet.packed.job import CannotPack
from regnet.packed.member import Member
from regnet.packed.pack import trainer_of
from regnet.packed.stack import Stack
from regnet.packed.trial import compare, is_of_a_person
from tests.packed import strangers

SMALL = ["trainer.max_epochs=2", "data.train_size=100", "data.batch_size=40", "trainer.accelerator=cpu"]
CHANGES = "{} changes when it is called, and is no buffer"
DIFFERS = "{} would not be in a pack what it is alone"
SAME = ["Plain", "InPlace", "NotPersistent", "Normal", "Still", "Kept", "Hooked", "Dropping", "Noisy", "Attentive"]
UNLIKE = {
    "Reassigned": DIFFERS.format("the buffer center"),
    "DroppingReassigned": DIFFERS.format("the buffer seen"),
    "Carried": CHANGES.format("Carried.before"),
    "InList": CHANGES.format("InList.held"),
    "InDict": CHANGES.format("InDict.held"),
    "InArray": CHANGES.format("InArray.held"),
    "InTensor": CHANGES.format("InTensor.held"),
    "InDeque": DIFFERS.format("the loss"),  # it turns twice in a step, to where it was
    "InDataclass": CHANGES.format("InDataclass.held"),
    "InClosure": CHANGES.format("InClosure.held"),
    "InIterator": CHANGES.format("InIterator.held"),
    "InGenerator": DIFFERS.format("the loss"),
    "InModule": "cannot be stacked",
    "Deciding": "cannot be stacked",
    "InClass": CHANGES.format("InClass.calls"),
    "InDefault": CHANGES.format("a default of InDefault.change"),
    "InGlobal": CHANGES.format("the global CALLS"),
    "InHook": CHANGES.format("a hook of Linear"),
    "hooked": CHANGES.format("a hook of Linear"),
    "Python": "it draws from Python's random, one number for all runs of a pack",
    "NumPy": "it draws from NumPy's random, one number for all runs of a pack",
    "OwnStream": CHANGES.format("OwnStream.stream"),
    "OfGradients": DIFFERS.format("the gradient of first.weight"),
    "Unlike": DIFFERS.format("the loss in evaluation"),
}


@pytest.fixture(scope="module")
def config(compose_train):
    return compose_train(*SMALL)


def copies_of(config, **changes):
    """Makes two runs of the config with other seeds."""

    def made():
        members = []
        for seed in (0, 1):
            cfg = copy.deepcopy(config)
            cfg.seed = seed
            for key, value in changes.items():
                cfg[key]["_target_" if key != "trainer" else "precision"] = value
            members.append(Member(None, cfg, build(cfg, (), data.of), None))
        return members

    data = SharedData()

    return made


def verdict(copies):
    """Why the runs are not packed; None where they are."""
    first = copies()[0]
    assert is_of_a_person(first)
    try:
        compare(first, copies, trainer_of(first))
    except CannotPack as reason:
        return str(reason)
    except RuntimeError:  # of vmap
        return "cannot be stacked"
    return None


@pytest.mark.parametrize("name", SAME)
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_networks_that_are_packed(config, name):
    assert verdict(copies_of(config, model=f"tests.packed.strangers.{name}")) is None


@pytest.mark.parametrize(("name", "reason"), UNLIKE.items(), ids=UNLIKE)
def test_networks_that_run_alone(config, name, reason):
    assert verdict(copies_of(config, model=f"tests.packed.strangers.{name}")) == reason


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
@pytest.mark.parametrize("name", ["Normal", "Dropping", "Reassigned"])
def test_the_trial_is_of_the_computation_and_not_of_its_precision(config, name, precision):
    found = verdict(copies_of(config, model=f"tests.packed.strangers.{name}", trainer=precision))
    assert found == UNLIKE.get(name)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", ["Narrow", "NarrowReassigned"])
def test_a_network_for_float32_alone_is_compared_in_it(config, name, precision):
    found = verdict(copies_of(config, model=f"tests.packed.strangers.{name}", trainer=precision))
    assert found == (None if name == "Narrow" else DIFFERS.format("the buffer center"))


REGULARIZERS = {
    "CountedPenalty": CHANGES.format("CountedPenalty.calls"),
    "BufferedPenalty": None,
    "Singular": None,
    "CountedConstraint": CHANGES.format("CountedConstraint.calls"),
    "ShrinkingConstraint": None,
}


@pytest.mark.parametrize(("name", "reason"), REGULARIZERS.items(), ids=REGULARIZERS)
def test_regularizers(compose_train, name, reason):
    number = "radius" if name.endswith("Constraint") else "strength"
    mine = [f"+regularizer.mine._target_=tests.packed.strangers.{name}", f"+regularizer.mine.{number}=0.1"]
    assert verdict(copies_of(compose_train(*SMALL, *mine))) == reason


def test_each_kind_has_its_row():
    kinds = {
        name for name, kind in vars(strangers).items() if inspect.isclass(kind) and issubclass(kind, strangers.Plain)
    }
    assert kinds - {"Holder", "Permuted", "Narrow", "NarrowReassigned"} == {*SAME, *UNLIKE} - {"hooked"}


@pytest.mark.parametrize("name", ["InGlobal", "InClass", "InDefault", "Python", "NumPy", "Dropping"])
def test_the_trial_leaves_everything_as_it_was(config, name):
    def state():
        counts = strangers.CALLS, strangers.InClass.calls, str(strangers.InDefault.change.__defaults__)
        return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist(), counts

    copies = copies_of(config, model=f"tests.packed.strangers.{name}")
    first = copies()[0]
    trainer = trainer_of(first)
    before = state()
    with suppress(CannotPack):
        compare(first, copies, trainer)
    assert state() == before


def grown(params):
    for p in params.values():
        p.mul_(1 + 1e-6)


def wrong_gradients(gradients, values=0.0, factor=1.0):
    def wrong(*arguments, **named):
        found, grads = gradients(*arguments, **named)
        return found + values, {name: grad * factor for name, grad in grads.items()}

    return wrong


BROKEN = {
    "the parameter": (optimizers.Adam, "step", lambda step: lambda self, p, *rest: (step(self, p, *rest), grown(p))),
    "the optimizer's": (optimizers.Adam, "state_of", lambda of: lambda self, k, names: of(self, 1 - k, names)),
    "the loss in": (Stack, "task_metrics", lambda of: lambda self, rows, x, y: of(self, rows, [2 * x[0]], y)),
    "the gradient": (Stack, "gradients", partial(wrong_gradients, factor=1 + 1e-6)),
    "the loss": (Stack, "gradients", partial(wrong_gradients, values=1e-6)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_whatever_a_pack_would_compute_wrongly_is_found(config, what, monkeypatch):
    where, name, broken = BROKEN[what]
    monkeypatch.setattr(where, name, broken(getattr(where, name)))
    reason = verdict(copies_of(config, model="tests.packed.strangers.Plain"))
    assert reason is not None
    assert reason.startswith(what)


TECHNIQUES = sorted(path.stem for path in (config_folder() / "regularizer").glob("*.yaml"))
NETWORKS = {
    "mlp": [],
    "batch norm": ["model.norm=batch"],
    "weight norm": ["model.norm=weight"],
    "cnn": ["model=cnn"],
    "sgd": ["optimizer=sgd"],
    "adamw": ["optimizer=adamw"],
    "schedules": ["scheduler=one_cycle", "regularizer=dropout", "regularizer.dropout.schedule=early:0.5"],
    "regression": ["data=diabetes"],
    "half precision": ["trainer.precision=bf16-mixed", "model=cnn"],
}


@pytest.mark.slow
@pytest.mark.parametrize("choice", [*TECHNIQUES, *NETWORKS])
def test_regnets_own_parts_pass_the_trial(compose_train, choice):
    sites = ["model=resnet", "model.blocks=[1]", "model.branches=2"]
    chosen = NETWORKS.get(choice, [*sites, f"regularizer={choice}"])
    copies = copies_of(compose_train(*SMALL, *chosen))
    first = copies()[0]
    if first.others or any(isinstance(part, Exact) and part.unpackable for part in first.module.modules()):
        pytest.skip("it is not packed")
    compare(first, copies, trainer_of(first))
