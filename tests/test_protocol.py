"""What a run watches, how long it lasts, and how its end is told: from the command line to the folder."""

import csv
import json
import re
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from regnet.compose.build import build
from regnet.compose.trainer import build_trainer
from regnet.core.errors import UserError
from regnet.run.record import load_run
from tests.helpers.commands import evaluate, record, report, train, train_into
from tests.helpers.equality import compare, folders

# 2 steps an epoch
SMALL = ["model.widths=[8]", "data.train_size=200", "logger=none", "callbacks.last.every_seconds=1000"]
RESTLESS = [*SMALL, "optimizer.lr=0.1", "trainer.max_epochs=8"]  # neither loss nor accuracy is best at the end
STOPPING = ["regularizer=early_stopping", "regularizer.early_stopping.patience=3"]


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def best_by(folder, name, choose):
    """The epoch that `metrics.csv` says is the best; of several that with the lowest loss, the first of these."""
    table = rows(folder)
    best = choose(row[f"val/{name}"] for row in table)
    equal = [epoch for epoch, row in enumerate(table) if row[f"val/{name}"] == best]
    return min(equal, key=lambda epoch: table[epoch]["val/loss"])


# which epoch is the best


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_the_best_epoch_is_the_best_by_its_monitor(tmp_path, launcher):
    monitors = {"accuracy": max, "loss": min}
    watched = "monitor=" + ",".join(f"val/{name}" for name in monitors)
    wrong = ["data.label_noise=0.8", "model.widths=[256]", "optimizer.lr=0.03", "trainer.max_epochs=12"]
    command = ["-m", "study=s", *RESTLESS, *wrong, watched, "seed=0,1", f"hydra/launcher={launcher}"]
    done = train(*command, cwd=tmp_path)
    assert done.code == 0, done.err
    assert launcher == "basic" or "4 runs in 1 pack\n" in done.out
    found = folders(tmp_path / "outputs" / "multirun" / "s").values()
    assert len(found) == 4
    chosen = set()
    for folder in found:
        kept = record(folder)
        name = kept["config"]["monitor"].removeprefix("val/")
        assert kept["config"]["mode"] == {max: "max", min: "min"}[monitors[name]]
        assert kept["best_epoch"] == best_by(folder, name, monitors[name])
        assert kept["metrics"]["val"] == pytest.approx(
            {key: rows(folder)[kept["best_epoch"]][f"val/{key}"] for key in kept["metrics"]["val"]}
        )
        chosen.add((kept["seed"], kept["best_epoch"]))
    assert len(chosen) > 2  # the monitors do not agree


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_the_best_of_r2_is_the_greatest(tmp_path, launcher):
    small = ["model.widths=[8]", "logger=none", "data=diabetes", "optimizer.lr=0.3", "trainer.max_epochs=8"]
    command = ["-m", "study=s", *small, "monitor=val/r2", "seed=0,1", f"hydra/launcher={launcher}"]
    assert train(*command, cwd=tmp_path).code == 0
    for folder in folders(tmp_path / "outputs" / "multirun" / "s").values():
        assert record(folder)["best_epoch"] == best_by(folder, "r2", max) == best_by(folder, "rmse", min)


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_each_monitor_has_its_own_direction(tmp_path, launcher):
    """Training stops by accuracy, and the epoch is chosen by the loss."""
    stopping = [*STOPPING, "regularizer.early_stopping.monitor=val/accuracy", "monitor=val/loss"]
    command = ["-m", "study=s", *RESTLESS, *stopping, "seed=0,1"]
    done = train(*command, "trainer.max_epochs=40", f"hydra/launcher={launcher}", cwd=tmp_path)
    assert done.code == 0, done.err
    for folder in folders(tmp_path / "outputs" / "multirun" / "s").values():
        kept = record(folder)
        assert kept["best_epoch"] == best_by(folder, "loss", min)
        assert kept["epochs"] == len(rows(folder)) == best_by(folder, "accuracy", max) + 4 < 40


def test_a_callback_of_one_s_own_watches_in_the_right_direction(tmp_path):
    target = "+callbacks.mine._target_=lightning.pytorch.callbacks.EarlyStopping"
    own = [target, "+callbacks.mine.monitor=${monitor}", "+callbacks.mine.patience=2", "trainer.max_epochs=40"]
    kept = train_into(tmp_path / "run", *RESTLESS, "monitor=val/accuracy", *own)
    assert kept["best_epoch"] == best_by(tmp_path / "run", "accuracy", max) == kept["epochs"] - 3 < 37


@pytest.mark.parametrize(("monitor", "better"), [("loss", "min"), ("accuracy", "max")])
def test_a_plateau_is_one_of_the_monitor_alone_and_packed(tmp_path, monitor, better):
    command = [
        "-m",
        "study=s",
        *RESTLESS,
        "trainer.max_epochs=12",
        "scheduler=plateau",
        "scheduler.patience=0",
        f"monitor=val/{monitor}",
    ]
    for name, more in {"alone": [], "packed": ["hydra/launcher=packed"]}.items():
        (tmp_path / name).mkdir()
        done = train(*command, "seed=0,1", "trainer.precision=64-true", *more, cwd=tmp_path / name)
        assert done.code == 0, done.err
    alone, packed = (folders(tmp_path / name / "outputs" / "multirun" / "s") for name in ("alone", "packed"))
    for name, folder in alone.items():
        compare(folder, packed[name], 1e-9)
        parameter = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        schedule = ReduceLROnPlateau(optimizer, mode=better, factor=0.1, patience=0)
        for row in rows(folder):
            assert row["lr"] == pytest.approx(optimizer.param_groups[0]["lr"])
            schedule.step(row[f"val/{monitor}"])
    assert min(rows(folder)[-1]["lr"] for folder in alone.values()) < 0.1


# what contradicts itself

SENTENCES = [
    ("monitor=val/accuracy mode=min", r"^mode=min contradicts monitor=val/accuracy, of which more is better; leave "),
    ("monitor=val/loss mode=max", r"^mode=max contradicts monitor=val/loss, of which less is better; leave mode out$"),
    ("mode=up", r"^mode=up must be min or max$"),
    ("monitor=val/loss callbacks.best.mode=max", r"^callbacks\.best\.mode=max contradicts monitor=val/loss"),
    ("callbacks.best.monitor=val/accuracy callbacks.best.mode=min", r"^callbacks\.best\.mode=min contradicts"),
    ("callbacks.best.monitor=val/r2", r"^callbacks\.best\.monitor=val/r2 must be one of val/loss, val/accuracy"),
    ("monitor=val/loss regularizer=early_stopping regularizer.early_stopping.mode=max", r"^regularizer.*mode=max con"),
    ("regularizer=early_stopping regularizer.early_stopping.monitor=f", r"^regularizer\.early_stopping\.monitor=f mu"),
    ("monitor=val/rmse", r"^monitor=val/rmse must be one of val/loss, val/accuracy, val/nll, val/ece$"),
    ("monitor=train/loss", r"^monitor=train/loss must be one of val/loss"),
    ("mode=min", r"^mode=min contradicts monitor=val/accuracy, of which more is better; leave mode out$"),
    ("monitor=null mode=min", r"^mode=min has no monitor whose mode it is; leave it out, or give one$"),
    ("monitor=null regularizer=early_stopping", r"^regularizer=early_stopping has to watch a metric: give a monitor"),
    ("monitor=null scheduler=plateau", r"^scheduler=plateau has to watch a metric: give a monitor, such as val/loss"),
    ("monitor=null callbacks.last=null", r"^monitor=null and callbacks\.last=null leave no checkpoint to test"),
    ("monitor=val/loss scheduler=plateau scheduler.mode=max", r"^scheduler\.mode=max contradicts monitor=val/loss"),
    ("trainer.max_epochs=null", r"^trainer\.max_epochs=null leaves training without an end: .*\+trainer\.max_steps"),
    ("trainer.max_epochs=-1", r"^trainer\.max_epochs=-1 leaves training without an end"),
    ("+trainer.max_steps=0", r"^trainer\.max_steps=0 must be a whole number >= 1"),
    ("+trainer.max_steps=2.5", r"^trainer\.max_steps=2\.5 must be a whole number"),
    ("+trainer.limit_val_batches=0", r"^trainer\.limit_val_batches=0 leaves no validation, by which an epoch is "),
    ("+trainer.limit_val_batches=0.3", r"^trainer\.limit_val_batches=0\.3 leaves no .* share of 1 that is one$"),
    ("+trainer.limit_train_batches=0", r"^trainer\.limit_train_batches=0 leaves no batch to train on; "),
    ("+trainer.limit_train_batches=0.1", r"^trainer\.limit_train_batches=0\.1 leaves .* share of 2 that is one$"),
    ("+trainer.overfit_batches=0.2", r"^trainer\.overfit_batches=0\.2 leaves no batch to train on"),
    ("+trainer.val_check_interval=9", r"^trainer\.val_check_interval=9 is more than the 2 batches of an epoch; "),
    ("+trainer.val_check_interval=2 +trainer.limit_train_batches=1", r"is more than the 1 batches of an epoch"),
    ("+trainer.val_check_interval=0", r"^trainer\.val_check_interval=0 must be in \(0, 1\], or a number of batches"),
    ("+trainer.val_check_interval=1.5", r"^trainer\.val_check_interval=1\.5 must be in \(0, 1\]"),
    ("+trainer.val_check_interval=00:00:10:00", r"by the clock no run could be repeated$"),
    ("trainer.check_val_every_n_epoch=0", r"check_val_every_n_epoch must be a whole number >= 1, got 0$"),
    ("trainer.check_val_every_n_epoch=null", r"^trainer\.check_val_every_n_epoch=null counts batches, and .*=1\.0 is"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), SENTENCES)
def test_what_contradicts_itself_is_told_before_training(compose_train, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        build(compose_train(*SMALL, "scheduler=constant", *arguments.split()))


def test_a_study_that_contradicts_itself_trains_nothing(tmp_path):
    command = ["-m", "study=s", *SMALL, "hydra/sweeper=refine", "hydra.sweeper.key=optimizer.lr", "optimizer.lr=1,2,3"]
    done = train(*command, "monitor=val/accuracy", "mode=min", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "mode=min contradicts monitor=val/accuracy" in done.err
    assert not list(tmp_path.glob("outputs/multirun/s/*/record.json"))


# how long it lasts, and what is validated


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ("trainer.max_epochs=3 +trainer.max_steps=1", [1]),
        ("trainer.max_epochs=null +trainer.max_steps=3", [2, 3]),
        ("trainer.max_epochs=-1 +trainer.max_steps=4", [2, 4]),
        ("trainer.max_epochs=3 trainer.check_val_every_n_epoch=9", [6]),
        ("trainer.max_epochs=3 trainer.check_val_every_n_epoch=2", [4, 6]),
        ("trainer.max_epochs=2 +trainer.val_check_interval=0.5", [1, 2, 3, 4]),
        ("trainer.max_epochs=3 +trainer.val_check_interval=3 trainer.check_val_every_n_epoch=null", [3, 6]),
        ("trainer.max_epochs=2 +trainer.val_check_interval=3 trainer.check_val_every_n_epoch=null", [3, 4]),
        ("trainer.max_epochs=2 data.batch_size=64 +trainer.val_check_interval=3", [3, 7, 8]),  # of 4 an epoch
        ("trainer.max_epochs=2 trainer.accumulate_grad_batches=2", [1, 2]),
        ("trainer.max_epochs=2 +trainer.limit_train_batches=1", [1, 2]),
    ],
)
def test_every_end_of_training_is_validated(tmp_path, arguments, steps):
    """A row for each validation; what is recorded without a best epoch is what the last checkpoint gives again."""
    kept = train_into(tmp_path / "run", *SMALL, *arguments.split(), "callbacks.best=null")
    assert (kept["status"], kept["reason"]) == ("completed", None)
    table = rows(tmp_path / "run")
    assert [row["step"] for row in table] == steps
    assert kept["metrics"]["val"]["loss"] == table[-1]["val/loss"]
    assert kept["best_epoch"] == table[-1]["epoch"]
    assert "\nequal to the record\n" in evaluate("run=run", "part=val", cwd=tmp_path).out


def test_the_best_of_several_validations_in_an_epoch_is_kept(tmp_path):
    often = ["+trainer.val_check_interval=1", "optimizer=sgd", "optimizer.lr=3", "regularizer=ema"]
    kept = train_into(tmp_path / "run", *SMALL, "trainer.max_epochs=4", *often)
    table = rows(tmp_path / "run")
    best = min(table, key=lambda row: (-row["val/accuracy"], row["val/loss"]))
    assert len(table) == 8
    assert (kept["metrics"]["val"]["loss"], kept["best_epoch"]) == (best["val/loss"], best["epoch"])
    assert "\nequal to the record\n" in evaluate("run=run", "part=val", cwd=tmp_path).out


def test_a_run_of_so_many_steps_goes_on_as_if_it_had_never_stopped(tmp_path):
    command = [*SMALL, "trainer.max_epochs=-1", "+trainer.max_steps=7", "regularizer=dropout"]
    command[command.index("callbacks.last.every_seconds=1000")] = "callbacks.last.every_seconds=0"
    train_into(tmp_path / "whole", *command)
    (tmp_path / "mynet.py").write_text(KILL)
    kill = ["+callbacks.kill._target_=mynet.Kill", "+callbacks.kill.path=killed"]
    assert train(*command, *kill, "hydra.run.dir=run", cwd=tmp_path).code == 1
    assert (tmp_path / "killed").exists()
    assert train(*command, *kill, "hydra.run.dir=run", cwd=tmp_path).code == 0
    assert (tmp_path / "run" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
    assert record(tmp_path / "run")["metrics"] == record(tmp_path / "whole")["metrics"]


KILL = """
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class Kill(Callback):
    def __init__(self, path):
        self.path = Path(path)

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 5 and not self.path.exists():
            self.path.touch()
            raise RuntimeError("killed")
"""


# what is cut off


def test_a_run_that_the_clock_cuts_off_goes_on_when_it_is_started_again(tmp_path):
    """No time at all is one epoch for each start."""
    command = [*SMALL, "trainer.max_epochs=3", "regularizer=[dropout,ema]", "hydra.run.dir=run"]
    for epoch in (1, 2):
        done = train(*command, "+trainer.max_time=00:00:00:00", cwd=tmp_path)
        kept = record(tmp_path / "run")
        assert (done.code, kept["status"], kept["epochs"]) == (0, "cut", epoch)
        assert re.fullmatch(rf"trainer\.max_time was up after {epoch} epochs; the same run goes on .*", kept["reason"])
        assert "cut: trainer.max_time was up" in done.out
        assert "\nequal to the record\n" in evaluate("run=run", cwd=tmp_path).out
        assert load_run(tmp_path / "run").status == "cut"
    assert train(*command, "+trainer.max_time=00:00:00:00", cwd=tmp_path).code == 0
    kept = record(tmp_path / "run")
    assert (kept["status"], kept["reason"], kept["epochs"]) == ("completed", None, 3)
    whole = train_into(tmp_path / "whole", *command[:-1])
    assert kept["metrics"] == whole["metrics"]
    assert (tmp_path / "run" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
    assert "was done before" in train(*command, "+trainer.max_time=00:00:00:00", cwd=tmp_path).out


def test_lightning_s_own_timer_is_refused(tmp_path):
    timer = ["+callbacks.t._target_=lightning.pytorch.callbacks.Timer", "+callbacks.t.duration=00:01:00:00"]
    done = train(*SMALL, *timer, "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 1
    assert "callbacks.t is Lightning's Timer, which ends a run within an epoch and counts it as completed; write " in (
        done.out + done.err
    )


def test_a_validation_in_half_precision_is_not_compared_with_one_in_float32(tmp_path):
    kept = train_into(tmp_path / "run", *SMALL, "trainer.precision=bf16-true")
    val, test = (evaluate("run=run", f"part={part}", "save=now", cwd=tmp_path) for part in ("val", "test"))
    told = "not compared with the record: the validation was in bf16-true, and this is in float32"
    assert (val.code, val.out.count("equal"), val.out.splitlines()[0]) == (0, 0, told)
    assert json.loads((tmp_path / "now").read_text()) == kept["metrics"]["test"]
    assert (test.code, test.out.rstrip().rpartition("\n")[2]) == (0, "equal to the record")


def test_a_run_that_stops_early_as_its_time_is_up_stays_stopped(tmp_path):
    stops = [
        "regularizer=early_stopping",
        "regularizer.early_stopping.patience=1",
        "regularizer.early_stopping.min_delta=9",
    ]
    command = [*SMALL, "trainer.max_epochs=9", *stops, "+trainer.max_time=00:00:00:00", "hydra.run.dir=run"]
    seen = []
    for _ in range(3):
        assert train(*command, cwd=tmp_path).code == 0
        seen.append((record(tmp_path / "run")["status"], record(tmp_path / "run")["epochs"]))
    assert seen == [("cut", 1), ("cut", 2), ("completed", 2)]


@pytest.mark.parametrize("batches", ["true", "2"])
def test_a_trial_of_a_few_batches_is_no_completed_run(tmp_path, batches):
    arguments = ["-m", "study=s", *SMALL, "regularizer=none,dropout", f"+trainer.fast_dev_run={batches}"]
    done = train(*arguments, "hydra/launcher=packed", cwd=tmp_path)
    assert done.code == 0, done.err
    found = [record(folder) for folder in folders(tmp_path / "outputs" / "multirun" / "s").values()]
    assert [kept["status"] for kept in found] == ["cut", "cut"]
    assert all(kept["metrics"]["test"]["loss"] > 0 for kept in found)
    assert "trainer.fast_dev_run=" in report("outputs/multirun/s", "--no-page", cwd=tmp_path).out


# the learning rate, and the batches


class Moves(Callback):
    """A schedule of somebody else: by step, of each group another way."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        for i, group in enumerate(trainer.optimizers[0].param_groups):
            group["lr"] = 0.1 * (i + 1) / (trainer.global_step + 1)


def built(compose_train, tmp_path, *overrides):
    cfg = compose_train(*SMALL, f"folder={tmp_path}", *overrides)
    setup = build(cfg, overrides)
    return setup, partial(build_trainer, cfg, folder=str(tmp_path))


def test_the_learning_rate_is_that_of_the_last_step_of_each_group(compose_train, tmp_path):
    setup, trainer = built(compose_train, tmp_path, "trainer.max_epochs=3", "trainer.accelerator=cpu")

    def groups(parameters):
        parameters = list(parameters)
        return torch.optim.SGD([{"params": parameters[:2]}, {"params": parameters[2:]}], lr=1.0)

    setup.module.make_optimizer = groups
    trainer({"moves": Moves()}).fit(setup.module, datamodule=setup.data)
    found = [(row["lr"], row["lr/1"]) for row in rows(tmp_path)]
    assert found == [pytest.approx((0.1 / step, 0.2 / step)) for step in (2, 4, 6)]


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_the_learning_rate_of_each_epoch_is_in_the_table(tmp_path, launcher):
    command = ["-m", "study=s", *SMALL, "trainer.max_epochs=4", "optimizer.lr=0.1,0.2", "scheduler=step"]
    done = train(*command, "scheduler.step_size=2", f"hydra/launcher={launcher}", cwd=tmp_path)
    assert done.code == 0, done.err
    for folder in folders(tmp_path / "outputs" / "multirun" / "s").values():
        lr = record(folder)["config"]["optimizer"]["lr"]
        assert [row["lr"] for row in rows(folder)] == pytest.approx([lr, lr, lr / 10, lr / 10])


class Seen(Callback):
    def __init__(self):
        self.epochs = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.epochs.setdefault(trainer.current_epoch, []).append(batch[0].clone())


@pytest.mark.parametrize(
    ("setting", "batches", "same"),
    [
        ("overfit_batches=1", 1, True),
        ("overfit_batches=3", 3, True),
        ("overfit_batches=0.5", 2, True),
        ("overfit_batches=1.0", 4, True),  # the single sample that is left over is no batch
        ("limit_train_batches=2", 2, False),
        ("max_steps=-1", 4, False),
    ],
)
def test_overfit_batches_are_the_same_in_every_epoch(compose_train, tmp_path, setting, batches, same):
    sizes = ["data.train_size=201", "data.batch_size=50", "trainer.max_epochs=3", "trainer.accelerator=cpu"]
    setup, trainer = built(compose_train, tmp_path, *sizes, f"+trainer.{setting}", "model.norm=batch")
    seen = Seen()
    with pytest.warns(UserWarning, match="requested to overfit") if same else nullcontext():
        trainer({"seen": seen}).fit(setup.module, datamodule=setup.data)
    first, *others = seen.epochs.values()
    assert len(first) == batches
    assert len(others) == 2
    for other in others:
        equal = len(other) == len(first) and all(map(torch.equal, first, other))
        assert equal == same
    assert len(rows(tmp_path)) == 3
    assert setup.module.trainer.num_val_batches == [1, 1]  # validation is whole
