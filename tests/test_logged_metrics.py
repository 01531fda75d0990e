"""What a callback of one's own logs reaches metrics.csv, TensorBoard, the record and the report, and may be watched."""

import csv
import math

import pandas
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from regnet.report.history import course, read
from regnet.run.ledger import Ledger
from tests.helpers.commands import TINY, record, report, train, train_into

CALLBACKS = """
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

class Everything(Callback):  # the epoch, wherever something can be logged
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        module.log("my/step", float(trainer.current_epoch), on_step=True, on_epoch=True)
    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        module.log("my/batch", float(trainer.current_epoch), add_dataloader_idx=False) if not dataloader_idx else None
    def on_validation_epoch_end(self, trainer, module):
        module.log("plain", float(trainer.current_epoch))
        module.log("val/f1", float(trainer.current_epoch))
        module.log("my/nan", float("nan"))
        if trainer.current_epoch >= 2:
            module.log("my/late", float(trainer.current_epoch))
    def on_train_epoch_end(self, trainer, module):
        module.log("my/end", float(trainer.current_epoch))

class Colliding(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        module.log("train/loss", 77.0)
    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        module.log("val/loss", 77.0, add_dataloader_idx=False) if not dataloader_idx else None
    def on_validation_epoch_end(self, trainer, module):
        for name in ("gap/loss", "test", "val", "sparsity", "epoch"):
            module.log(name, 77.0)

class Score(Callback):
    def on_validation_epoch_end(self, trainer, module):
        module.log("my/score", float(abs(trainer.current_epoch - 1)))

class Direct(Callback):  # past `self.log`
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        values = {"my/tensor": torch.tensor(trainer.current_epoch), "my/bool": True}
        trainer.logger.log_metrics(values, step=trainer.global_step)
    def on_fit_end(self, trainer, module):
        for logger in trainer.loggers:
            logger.log_metrics({"my/last": 5.0}, step=trainer.global_step)
        if not isinstance(trainer.logger, TensorBoardLogger):  # which takes no text
            trainer.logger.log_metrics({"my/text": "five"}, step=trainer.global_step)

class Silent(Callback):
    pass
"""
EACH = ["my/batch", "plain", "val/f1", "my/end", "my/step_epoch"]  # of every epoch, and so of its last validation


@pytest.fixture
def place(tmp_path):
    (tmp_path / "mynet.py").write_text(CALLBACKS)
    return tmp_path


def logging(name: str) -> list[str]:
    return [*TINY, "trainer.max_epochs=4", f"+callbacks.mine._target_=mynet.{name}"]


@pytest.mark.parametrize(
    "trainer",
    [
        ["logger=none"],
        ["trainer.check_val_every_n_epoch=2"],
        ["+trainer.val_check_interval=0.5", "data.batch_size=15", "trainer.log_every_n_steps=1"],
        ["trainer.accumulate_grad_batches=2", "data.batch_size=15", "trainer.log_every_n_steps=0", "logger=none"],
    ],
    ids=["", "every 2", "twice", "accumulated"],
)
def test_each_row_has_what_was_logged_in_its_epoch(place, trainer):
    run = train_into(place / "run", *logging("Everything"), *trainer)
    rows = pandas.read_csv(place / "run/metrics.csv")
    ends = rows.groupby("epoch").last()
    for name in EACH:
        assert ends[name].tolist() == ends.index.tolist(), name
    assert rows["plain"].tolist() == rows["epoch"].tolist()
    assert rows["my/late"].dropna().tolist() == rows["epoch"][rows["epoch"] >= 2].tolist()
    assert rows["my/nan"].isna().all()
    assert ("my/step_step" in rows) == ("trainer.log_every_n_steps=1" in trainer)
    best = run["best_epoch"]
    assert {name: run["metrics"][name] for name in ("plain", "my/batch", "my/end", "my/nan")} == {
        **dict.fromkeys(("plain", "my/batch", "my/end"), best), "my/nan": None
    }  # fmt: skip
    assert run["metrics"]["val"]["f1"] == best
    if "logger=none" not in trainer:
        events = EventAccumulator(str(place / "run")).Reload()
        assert [event.value for event in events.Scalars("plain")] == rows["epoch"].tolist()
        assert [event.value for event in events.Scalars("when_best/plain")] == [best]


def test_the_header_is_written_once_and_earlier_rows_are_blank(place):
    train_into(place / "run", *logging("Everything"), "logger=none")
    header, *rows = csv.reader((place / "run/metrics.csv").read_text().splitlines())
    assert [row[header.index("my/late")] for row in rows] == ["", "", "2.0", "3.0"]
    assert len(set(header)) == len(header)
    history = read(place / "run")
    assert math.isnan(history["my/late"][1])
    assert history["my/late"][2:] == [2, 3]


@pytest.mark.parametrize("logger", ["tensorboard", "[csv,tensorboard]", "none"])
def test_what_a_callback_tells_a_logger_is_recorded_too(place, logger):
    run = train_into(place / "run", *logging("Direct"), f"logger={logger}")
    rows = pandas.read_csv(place / "run/metrics.csv")
    assert rows["my/tensor"].tolist() == rows["epoch"].tolist()
    assert rows["my/last"].dropna().tolist() == [5.0]
    assert [name for name in rows if "text" in name or name.startswith(("when_best", "step/"))] == []
    assert (run["metrics"]["my/tensor"], run["metrics"]["my/bool"]) == (run["best_epoch"], 1.0)


def test_names_of_regnet_stay_its_own(place):
    expected = train_into(place / "alone", *logging("Silent"))
    done = train("hydra.run.dir=run", *logging("Colliding"), "trainer.log_every_n_steps=1", cwd=place)
    assert done.code == 0, done.err
    found = record(place / "run")
    assert (found["metrics"], found["best_epoch"]) == (expected["metrics"], expected["best_epoch"])
    alone, rows = (pandas.read_csv(place / name / "metrics.csv") for name in ("alone", "run"))
    pandas.testing.assert_frame_equal(rows[alone.columns], alone)
    for name in ("train/loss", "val/loss", "gap/loss", "test", "val", "sparsity"):
        assert done.out.count(f"a callback logs {name}, which is regnet's own name") == 1, name


def test_a_resumed_run_has_what_one_without_a_break_has(place, monkeypatch):
    common = [*logging("Everything"), "trainer.check_val_every_n_epoch=2", "callbacks.last.every_seconds=0"]
    train_into(place / "whole", *common)
    steps = iter(range(1000))

    def stop() -> None:
        if next(steps) == 5:  # the fourth epoch's: the third's values wait for its row
            raise KeyboardInterrupt

    monkeypatch.setattr("regnet.training.module.stop_here", stop)
    train("hydra.run.dir=run", *common, cwd=place)
    assert record(place / "run")["status"] == "interrupted"
    monkeypatch.setattr("regnet.training.module.stop_here", lambda: None)
    train_into(place / "run", *common)
    assert (place / "run/metrics.csv").read_bytes() == (place / "whole/metrics.csv").read_bytes()
    assert record(place / "run")["metrics"] == record(place / "whole")["metrics"]


def test_the_report_shows_any_metric(place):
    study = "outputs/multirun/s"
    done = train("-m", "study=s", *logging("Everything"), "regularizer=none,l2", "seed=0,1", cwd=place)
    assert done.code == 0, done.err
    done = report(study, "--metric", "my/late", "--metric", "val/f1", "--csv", "runs.csv", cwd=place)
    assert done.code == 0, done.err
    assert "3.0000" in done.out
    assert pandas.read_csv(place / "runs.csv")["my/late"].tolist() == [3, 3, 3, 3]
    page = (place / study / "report.html").read_text()
    assert 'id="course_my_late"' in page
    assert "my/late by epoch" in page
    done = report(study, "--metric", "my/latte", cwd=place)
    assert done.code == 1
    assert "--metric my/latte is in no record; these are: " in done.err
    assert "my/late, " in done.err


def test_the_course_of_a_metric_is_that_of_the_same_name_in_the_record():
    history = {"epoch": [0, 1], "train_eval/loss": [2, 1], "my/late": [math.nan, 5], "my/nan": [math.nan] * 2}
    assert course(history, "train/loss") == {"epoch": [1, 2], "value": [2, 1]}
    assert course(history, "my/late")["value"][1] == 5
    assert course(history, "my/nan") == course(history, "test/loss") == {}


@pytest.mark.parametrize(("mode", "epoch"), [("min", 1), ("max", 3)])
def test_a_metric_of_one_s_own_chooses_the_epoch(place, mode, epoch):
    watching = ["regularizer=early_stopping", "scheduler=plateau", "monitor=my/score", f"mode={mode}"]
    run = train_into(place / "run", *logging("Score"), *watching)
    assert run["best_epoch"] == epoch
    assert run["metrics"]["my/score"] == abs(epoch - 1)
    assert run["config"]["regularizer"]["early_stopping"]["mode"] == mode


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([*logging("Score"), "monitor=my/score"], "a callback of yours logs in validation, with mode=min or mode=max"),
        ([*logging("Silent"), "monitor=my/score", "mode=max"], "my/score is not logged in validation, which has: "),
        ([*TINY, "monitor=my/score", "mode=max"], "monitor=my/score must be one of val/loss, val/accuracy, val/nll, "),
        ([*logging("Score"), "monitor=val/rmse", "mode=min"], "monitor=val/rmse must be one of val/loss, val/accuracy"),
        ([*logging("Score"), "monitor=my/score", "mode=up"], "mode=up must be min or max"),
    ],
)  # fmt: skip
def test_a_monitor_that_nothing_logs(place, arguments, sentence):
    done = train(*arguments, cwd=place)
    assert done.code == 1
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_what_is_logged_before_a_validation_is_in_its_row():
    ledger = Ledger()
    ledger.add({"a": 1.0, "epoch": 9}, step=1)
    ledger.add({"a": 2.0, "b": 1.0}, step=2)
    ledger.validated(0, 3, {}, {"loss": 0.5}, {})
    ledger.enter(0, 3)
    ledger.add({"c": 4.0, "val/loss": 7.0, "step": 8.0}, step=3)
    ledger.add({"d": 5.0}, step=4)
    assert ledger.rows == [{"epoch": 0, "step": 3, "a": 2.0, "b": 1.0, "val/loss": 0.5, "c": 4.0}]
    assert ledger.record(ledger.measured)["val"] == {"loss": 0.5}
    again = Ledger()
    again.load_state_dict(ledger.state_dict())
    again.validated(1, 5, {}, {"loss": 0.4}, {})
    again.enter(1, 5)
    assert again.rows == [{"epoch": 1, "step": 5, "d": 5.0, "val/loss": 0.4}]


def test_what_the_chosen_validation_did_not_log_is_known_and_blank():
    ledger = Ledger()
    for epoch, own in enumerate([{"my/rare": 5.0, "val/rare": 1.0}, {}]):
        ledger.add(own, epoch)
        ledger.validated(epoch, epoch, {}, {"loss": 2.0 - epoch}, {})
        ledger.enter(epoch, epoch)
    rare, chosen = ledger.record({"val/loss": 2.0}), ledger.record({"val/loss": 1.0})
    assert (rare["my/rare"], rare["val"]) == (5.0, {"loss": 2.0, "rare": 1.0})
    assert (chosen["my/rare"], chosen["val"]) == (None, {"loss": 1.0, "rare": None})
