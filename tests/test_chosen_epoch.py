"""Which epoch is chosen and tested, and what is kept of the last one: by default, and where nothing is chosen."""

import math

import pytest
import torch

from regnet.training.callbacks import BestCheckpoint, EarlyStopping
from tests.helpers.commands import record, train, train_into
from tests.helpers.equality import folders
from tests.test_protocol import RESTLESS, rows

WORSENING = [  # the middle epochs are the best
    *("data.label_noise=0.8", "model.widths=[256]", "optimizer.lr=0.03", "trainer.max_epochs=12", "monitor=val/loss")
]
LAUNCHERS = pytest.mark.parametrize("launcher", ["basic", "packed"])


def study(tmp_path, launcher, *overrides):
    done = train("-m", "study=s", *RESTLESS, *overrides, "seed=0,1", f"hydra/launcher={launcher}", cwd=tmp_path)
    assert done.code == 0, done.err
    return list(folders(tmp_path / "outputs" / "multirun" / "s").values())


@LAUNCHERS
def test_accuracy_chooses_and_the_loss_parts_equals(tmp_path, launcher):
    for folder in study(tmp_path, launcher, "optimizer.lr=0.02", "trainer.max_epochs=30"):
        kept, table = record(folder), rows(folder)
        assert (kept["config"]["monitor"], kept["config"]["mode"]) == ("val/accuracy", "max")
        order = sorted(table, key=lambda row: (-row["val/accuracy"], row["val/loss"], row["epoch"]))
        assert kept["best_epoch"] == order[0]["epoch"]
        assert order[0]["val/accuracy"] == order[1]["val/accuracy"]  # else nothing was tied


@LAUNCHERS
def test_a_regression_is_judged_by_its_rmse(tmp_path, launcher):
    for folder in study(tmp_path, launcher, "data=diabetes", "data.train_size=null"):
        kept, table = record(folder), rows(folder)
        assert (kept["config"]["monitor"], kept["config"]["mode"]) == ("val/rmse", "min")
        assert kept["best_epoch"] == min(table, key=lambda row: row["val/rmse"])["epoch"]


@LAUNCHERS
def test_the_record_has_the_last_epoch_beside_the_chosen_one(tmp_path, launcher):
    for folder in study(tmp_path, launcher, *WORSENING):
        kept, end = record(folder), rows(folder)[-1]
        assert kept["best_epoch"] < kept["epochs"] - 1
        assert kept["last"].keys() == kept["metrics"].keys()
        assert kept["last"]["val"] == pytest.approx({name: end[f"val/{name}"] for name in kept["last"]["val"]})
        assert kept["last"]["gap"]["loss"] == pytest.approx(end["gap/loss"])
        assert kept["last"]["test"] != kept["metrics"]["test"]


@LAUNCHERS
def test_without_a_monitor_the_last_epoch_is_taken(tmp_path, launcher):
    (tmp_path / "chosen").mkdir()
    (tmp_path / "last").mkdir()
    chosen = study(tmp_path / "chosen", launcher, *WORSENING)
    for folder, other in zip(study(tmp_path / "last", launcher, *WORSENING, "monitor=null"), chosen, strict=True):
        kept = record(folder)
        assert (kept["config"]["monitor"], kept["config"]["mode"]) == (None, None)
        assert kept["best_epoch"] == kept["epochs"] - 1
        assert kept["metrics"] == kept["last"]
        assert kept["last"]["test"] == record(other)["last"]["test"]  # the training is the same
        assert not (folder / "checkpoints" / "best.ckpt").exists()


def test_the_last_epoch_is_known_without_its_checkpoint(tmp_path):
    kept = train_into(tmp_path / "with", *RESTLESS, "regularizer=ema")
    without = train_into(tmp_path / "without", *RESTLESS, "regularizer=ema", "callbacks.last=null")
    assert without["last"] == kept["last"]
    assert not (tmp_path / "without" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("setting", "first"),
    [("swa regularizer.swa.start=0.75", 9), ("ema regularizer.ema.start=0.75", 9), ("snapshots", 11)],
)
@pytest.mark.parametrize("metric", ["loss", "ece"])
def test_only_the_network_that_a_technique_makes_is_chosen(tmp_path, setting, first, metric):
    chosen = [*f"regularizer={setting}".split(), f"monitor=val/{metric}"]
    kept = train_into(tmp_path / "run", *RESTLESS, *WORSENING, *chosen)
    table = rows(tmp_path / "run")
    best = min(table[first:], key=lambda row: row[f"val/{metric}"])
    assert kept["best_epoch"] == best["epoch"]
    if metric == "ece":  # another one would be chosen otherwise
        assert min(table, key=lambda row: row["val/ece"])["epoch"] < first


def test_an_average_that_starts_late_is_one_of_the_epochs_from_there(tmp_path):
    run = ["trainer.max_epochs=4", "model.widths=[8]", "data.train_size=200", "monitor=null"]
    late = train_into(tmp_path / "late", *run, "regularizer=ema", "regularizer.ema.start=0.75")
    early = train_into(tmp_path / "early", *run, "regularizer=ema")
    plain = rows(tmp_path / "early")
    assert late["metrics"]["val"] != early["metrics"]["val"]
    train_into(tmp_path / "none", *run)
    without, averaged = rows(tmp_path / "none"), rows(tmp_path / "late")
    assert [row["val/loss"] for row in averaged[:3]] == [row["val/loss"] for row in without[:3]]
    assert averaged[3]["val/loss"] != without[3]["val/loss"]
    assert plain[0]["val/loss"] != without[0]["val/loss"]


def test_an_average_that_never_begins_leaves_the_last_epoch(tmp_path):
    kept = train_into(tmp_path / "run", *RESTLESS, "regularizer=swa", "+trainer.max_steps=4")
    assert (kept["best_epoch"], kept["epochs"]) == (1, 2)
    assert kept["metrics"] == kept["last"]


def test_training_is_not_stopped_before_an_average_has_begun(tmp_path):
    stopping = ["regularizer=[swa,early_stopping]", "regularizer.early_stopping.patience=1"]
    kept = train_into(tmp_path / "run", *RESTLESS, *stopping)
    assert kept["epochs"] > 6  # the average begins with epoch 6


def test_an_accuracy_is_a_count(tmp_path):
    kept = train_into(tmp_path / "run", *RESTLESS)
    test, val = 539, 252  # of 1,797 digits
    for split, count in {"test": test, "val": val, "train": 200}.items():
        accuracy = kept["metrics"][split]["accuracy"]
        assert accuracy == round(accuracy * count) / count


def best_of(values, mode="max"):
    checkpoint = BestCheckpoint("best.ckpt", "val/accuracy" if mode == "max" else "val/loss")
    return [checkpoint.improves(*value) for value in values]


def test_what_improves():
    assert best_of([(0.5, 1.0), (0.5, 1.0), (0.5, 0.9), (0.4, 0.1), (0.6, 2.0), (math.nan, 0.0)]) == [
        *(True, False, True, False, True, False)
    ]
    assert best_of([(1.0, 1.0), (1.0, 1.0), (0.5, 0.5)], "min") == [True, False, True]


@pytest.mark.parametrize(("delta", "epochs"), [(0.0, 5), (0.05, 2)])
def test_equal_monitors_at_a_lower_loss_keep_training_alive(delta, epochs):
    stopper = EarlyStopping("val/accuracy", patience=2, min_delta=delta)
    course = [(0.5, 1.0), (0.5, 0.9), (0.5, 0.8), (0.5, 0.7), (0.5, 0.7), (0.5, 0.7), (0.5, 0.7)]
    ended = []
    for epoch, (accuracy, loss) in enumerate(course):
        stopper.watch(epoch, accuracy, loss)
        ended.append(stopper.exhausted(epoch))
    assert ended.index(True) == epochs


def test_what_was_best_is_kept_in_the_checkpoint():
    first = BestCheckpoint("best.ckpt", "val/accuracy")
    first.improves(0.5, 1.0)
    second = BestCheckpoint("best.ckpt", "val/accuracy")
    second.load_state_dict(first.state_dict())
    assert not second.improves(0.5, 1.0)
    assert second.improves(0.5, 0.9)
    stopper = EarlyStopping("val/accuracy", patience=2)
    stopper.watch(0, 0.5, 1.0)
    other = EarlyStopping("val/accuracy", patience=2)
    other.load_state_dict(stopper.state_dict())
    other.watch(1, 0.5, 1.0)
    assert (other.best_epoch, other.best_score) == (0, torch.tensor(0.5))
