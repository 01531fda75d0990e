"""Schedules: their values by hand, what is said of wrong ones, and a run's strengths and rates as they are logged."""

import csv
import math

import pytest
import torch

import regnet.training.module
from regnet.compose.build import build
from regnet.core.errors import UserError
from regnet.regularizers import L1, L2, Dropout, Mixup, ShiftFlip
from regnet.regularizers.schedules import Schedules, parse, scheduled_buffer
from tests.helpers.commands import record, train, train_into

VALUES = {
    "constant": {0: 1, 0.5: 1, 1: 1},
    "linear:1:0": {0: 1, 0.25: 0.75, 0.5: 0.5, 1: 0},
    "linear:0:2": {0: 0, 0.25: 0.5, 1: 2},
    "linear:0:1:0.2:0.8": {0: 0, 0.2: 0, 0.35: 0.25, 0.5: 0.5, 0.8: 1, 1: 1},
    "linear:1:0.5:0.3:0.3": {0.29: 1, 0.3: 0.5, 1: 0.5},  # a jump
    "cosine:1:0": {0: 1, 0.25: (1 + math.sqrt(0.5)) / 2, 0.5: 0.5, 1: 0},
    "cosine:0.2:1:0.5:1": {0: 0.2, 0.5: 0.2, 0.75: 0.6, 1: 1},
    "step:0.1:0.5:0.75": {0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1: 0.01},
    "step:2:0.5": {0.4: 1, 0.6: 2},
    "warmup:0.1": {0: 0, 0.05: 0.5, 0.1: 1, 1: 1},
    "warmup:0": {0: 1, 1: 1},
    "late:0.5": {0: 0, 0.49: 0, 0.5: 1, 1: 1},
    "early:0.1": {0: 1, 0.09: 1, 0.1: 0, 1: 0},
    "early:5e": {0: 1, 0.24: 1, 0.25: 0},  # of 20 epochs
    "warmup:10e": {0: 0, 0.25: 0.5, 0.5: 1},
    "linear:1:0:2e:0.6": {0.1: 1, 0.35: 0.5, 0.6: 0},
}


@pytest.mark.parametrize("text", VALUES)
def test_values_by_hand(text):
    factor = parse(text, epochs=20)
    for progress, value in VALUES[text].items():
        assert factor(progress) == pytest.approx(value, abs=1e-12), progress


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ramp:1", "is none of constant, linear, cosine, step, warmup, late, early"),
        ("", "is none of constant"),
        ("linear:1", "is written as linear:1:0 or linear:0:1:0.2:0.8"),
        ("linear:1:0:0.5", "is written as linear:1:0 or"),
        ("cosine", "is written as cosine:1:0"),
        ("step:0.1", "is written as step:0.1:0.5:0.75"),
        ("late", "is written as late:0.5"),
        ("early:0.1:0.2", "is written as early:0.1"),
        ("constant:1", "is written as constant"),
        ("linear:-1:0", "has a factor '-1', which must be a number >= 0"),
        ("linear:a:0", "has a factor 'a'"),
        ("linear:inf:0", "has a factor 'inf'"),
        ("cosine:nan:0", "has a factor 'nan'"),
        ("late:1.5", "has a point '1.5' outside of training, which is from 0 to 1"),
        ("late:x", "has a point 'x' outside"),
        ("late:-0.1", "has a point '-0.1' outside"),
        ("late:21e", "has a point '21e' outside"),
        ("step:0.1:0.7:0.5", "has points of training that are not in order"),
        ("linear:0:1:0.8:0.2", "has points of training that are not in order"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(ValueError, match="schedule=") as error:
        parse(text, epochs=20)
    assert message in str(error.value)


def test_epochs_need_their_number():
    with pytest.raises(ValueError, match="counts epochs, and their number is open; write a share of training"):
        parse("late:5e", None)


def test_buffers_follow_the_progress_alone():
    first, second, penalty = Dropout(0.4), Dropout(0.2), L2(0.1)
    schedules = Schedules(
        [("rate/d", [first, second], "rate", parse("linear:1:0")), ("strength/l2", [penalty], "strength", lambda t: t)]
    )
    for progress in (0.5, 1.0, 0.25, 0.0):
        schedules.set(progress)
        expected = [0.4 * (1 - progress), 0.2 * (1 - progress), 0.1 * progress]
        assert [b.item() for b in (first.rate, second.rate, penalty.strength)] == pytest.approx(expected)
        assert schedules.values() == {"rate/d": second.rate.item(), "strength/l2": penalty.strength.item()}
    assert [id(b) for b in schedules.buffers()] == [id(b) for b in (first.rate, second.rate, penalty.strength)]


def test_what_can_follow_a_schedule():
    assert [scheduled_buffer(module) for module in (L1(1.0), Dropout(0.5), Mixup(1.0))] == [
        "strength",
        "rate",
        "strength",
    ]
    with pytest.raises(ValueError, match="ShiftFlip has no strength or rate that could follow a schedule"):
        scheduled_buffer(ShiftFlip(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["regularizer=dropout", "regularizer.dropout.schedule=late"], r"regularizer.dropout.schedule: .* late:0.5"),
        (["regularizer=dropout", "regularizer.dropout.schedule=linear:1:2"], "takes the rate to 1, and it must stay"),
        (["regularizer=early_stopping", "+regularizer.early_stopping.schedule=late:0.5"], "has no strength"),
        (["regularizer=ema", "+regularizer.ema.schedule=late:0.5"], "Ema has no strength"),
        (
            ["regularizer=l2", "regularizer.l2.schedule=late:0.5", "trainer.max_epochs=null"],
            "needs the end of training: set trainer.max_epochs",
        ),
        (
            ["regularizer=l2", "regularizer.l2.schedule=late:5e", "trainer.max_epochs=null", "+trainer.max_steps=9"],
            "counts epochs, and their number is open",
        ),
    ],
)
def test_what_a_person_got_wrong(compose_train, arguments, message):
    with pytest.raises(UserError, match=message):
        build(compose_train(*arguments, "scheduler=constant"))


RUN = ["data.train_size=96", "data.batch_size=16", "model.widths=[8,8]", "trainer.max_epochs=4"]  # 24 steps
SCHEDULED = [
    *RUN,
    "callbacks.last.every_seconds=0",
    "regularizer=[dropout,l1,weight_decay,mixup,drop_connect]",
    "regularizer.dropout.rate=0.4",
    "regularizer.dropout.schedule=early:0.5",
    "regularizer.l1.strength=1e-3",
    "regularizer.l1.schedule=linear:0:1",
    "regularizer.weight_decay.strength=0.1",
    "regularizer.weight_decay.schedule=late:0.75",
    "++regularizer.mixup.schedule=cosine:1:0",
    "regularizer.drop_connect.schedule=step:0.5:1e:2e",
]


def table(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schedules") / "run"
    train_into(folder, *SCHEDULED, "logger=none")
    return folder


def test_a_run_logs_each_value_at_the_end_of_each_epoch(whole):
    """Set before each step: an epoch's last step of 6 has seen 5, 11, 17 and 23 of 24."""
    rows = table(whole)
    progress = [step / 24 for step in (5, 11, 17, 23)]
    expected = {
        "rate/dropout": [0.4, 0.4, 0, 0],
        "strength/l1": [1e-3 * t for t in progress],
        "strength/weight_decay": [0, 0, 0, 0.1],
        "strength/mixup": [0.2 * (1 + math.cos(math.pi * t)) / 2 for t in progress],
        "rate/drop_connect": [0.2, 0.1, 0.05, 0.05],
    }
    for name, values in expected.items():
        assert [float(row[name]) for row in rows] == pytest.approx(values, rel=1e-6), name
    assert float(rows[-1]["train/penalty/l1"]) > 0


def test_checkpoints_keep_the_values_of_their_step(whole):
    state = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["objective.penalties.l1.strength"].item() == pytest.approx(1e-3 * 23 / 24)
    rates = [value.item() for name, value in state.items() if name.endswith("rate") and "parametrizations" not in name]
    assert rates == [0, 0]  # of both sites
    connects = [value.item() for name, value in state.items() if name.endswith("weight.0.rate")]
    assert connects == pytest.approx([0.05] * 3)


def test_a_resumed_run_goes_on_where_its_schedules_were(whole, tmp_path, monkeypatch):
    begun = regnet.training.module.RegularizedModule.on_train_epoch_start

    def interrupted(self):
        begun(self)
        if self.current_epoch == 2:
            raise KeyboardInterrupt

    command = [*SCHEDULED, "logger=none", "hydra.run.dir=run"]
    with monkeypatch.context() as patch:
        patch.setattr(regnet.training.module.RegularizedModule, "on_train_epoch_start", interrupted)
        assert train(*command, cwd=tmp_path).code in (1, 130)
    assert len(table(tmp_path / "run")) == 2
    assert train(*command, cwd=tmp_path).code == 0
    assert table(tmp_path / "run") == table(whole)
    assert record(tmp_path / "run")["metrics"] == record(whole)["metrics"]


def test_a_factor_of_one_changes_nothing_and_one_of_zero_is_no_regularizer(tmp_path):
    def trained(name, *arguments):
        train_into(tmp_path / name, *RUN, "logger=none", *arguments)
        return [row["val/loss"] for row in table(tmp_path / name)]

    l2 = ["regularizer=l2", "regularizer.l2.strength=1e-2"]
    plain, none = trained("plain", *l2), trained("none")
    assert trained("one", *l2, "regularizer.l2.schedule=constant") == plain
    assert trained("zero", *l2, "regularizer.l2.schedule=linear:0:0") == none != plain
    late = trained("late", *l2, "regularizer.l2.schedule=late:2e")
    assert late[:2] == none[:2]
    assert late[2] != none[2]
