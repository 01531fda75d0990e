"""Schedules of the learning rate: by the epoch or by the step, alone and packed."""

import csv

import pytest
import torch
from omegaconf import open_dict
from torch import nn
from torch.optim.lr_scheduler import LinearLR, OneCycleLR

from regnet.compose.build import build
from regnet.compose.trainer import build_trainer
from regnet.core.errors import UserError
from tests.helpers.commands import record, train, train_into
from tests.helpers.equality import compare, folders

# 4 steps an epoch
SMALL = ["model.widths=[8]", "data.train_size=200", "data.batch_size=64", "logger=none", "trainer.max_epochs=3"]
LINEAR = [
    "+scheduler._target_=torch.optim.lr_scheduler.LinearLR",
    "+scheduler._partial_=true",
    "+scheduler.start_factor=0.1",
]


def logged(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["lr"]) for row in csv.DictReader(file)]


def rates(make, steps):
    """The learning rate of each step, as torch has it."""
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1e-3)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_one_cycle_is_gone_through_once(tmp_path):
    kept = train_into(tmp_path / "run", *SMALL, "scheduler=one_cycle")
    assert kept["steps"] == kept["config"]["steps"] == kept["config"]["scheduler"]["total_steps"] == 12
    expected = rates(lambda optimizer: OneCycleLR(optimizer, 1e-3, total_steps=12), 12)
    assert logged(tmp_path / "run") == pytest.approx(expected[3::4])
    assert expected[-1] < 1e-8 < 1e-4 < max(expected)


def test_any_schedule_of_torch_by_the_step(tmp_path):
    train_into(tmp_path / "run", *SMALL, *LINEAR, "+scheduler.total_iters=7", "+scheduler.interval=step")
    expected = rates(lambda optimizer: LinearLR(optimizer, 0.1, total_iters=7), 12)
    assert logged(tmp_path / "run") == pytest.approx(expected[3::4])
    train_into(tmp_path / "other", *SMALL, *LINEAR, "+scheduler.total_iters=2")
    expected = rates(lambda optimizer: LinearLR(optimizer, 0.1, total_iters=2), 3)
    assert logged(tmp_path / "other") == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:.*requested to overfit but enabled")
@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ("", 12),
        ("trainer.accumulate_grad_batches=3", 6),
        ("+trainer.limit_train_batches=2", 6),
        ("+trainer.limit_train_batches=0.5", 6),
        ("+trainer.overfit_batches=1", 3),
        ("+trainer.max_steps=7", 7),
        ("+trainer.max_steps=70", 12),
        ("trainer.max_epochs=null +trainer.max_steps=7", 7),
        ("trainer.max_epochs=null +trainer.max_time=00:00:00:01", None),
        ("data.train_size=193", 9),  # one sample would be left over
        ("trainer.devices=2 +trainer.strategy=ddp", 6),
    ],
)
def test_the_number_of_steps_is_lightnings(settings, steps, compose_train, tmp_path):
    cfg = compose_train(*SMALL, *settings.split(), "scheduler=one_cycle" if steps else "scheduler=constant")
    setup = build(cfg)
    assert cfg.steps == steps
    if steps is None or "devices" in settings:
        return
    with open_dict(cfg):
        cfg.callbacks = {}
    trainer = build_trainer(cfg, {}, str(tmp_path))
    trainer.fit(setup.module, datamodule=setup.data)
    assert trainer.global_step == trainer.lr_scheduler_configs[0].scheduler.last_epoch == steps


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("scheduler=one_cycle scheduler.interval=batch", r"^scheduler\.interval=batch must be epoch or step$"),
        (
            "scheduler=plateau scheduler.interval=step",
            r"^scheduler\.interval=step: ReduceLROnPlateau looks at ",
        ),
        (
            "scheduler=one_cycle scheduler.interval=epoch",
            r"^scheduler\.total_steps=12 .* makes 3; .*interval=step$",
        ),
        (
            "scheduler=cosine scheduler.T_max=${steps}",
            r"^scheduler\.T_max=12 .* makes 3; .*interval=step$",
        ),
        (
            "scheduler=cosine scheduler.interval=step",
            r"^scheduler\.T_max=3 are epochs, .* makes 12 steps; write 'scheduler\.T_max=\$\{steps\}'$",
        ),
        (
            "scheduler=one_cycle trainer.max_epochs=null +trainer.max_time=00:00:00:01",
            r"^scheduler\.total_steps has no value \(trainer\.max_epochs=None\); give one$",
        ),
        ("scheduler=one_cycle scheduler.max_lr=-1", r"^scheduler: max_lr must be a finite number > 0, got -1$"),
        ("scheduler=one_cycle scheduler.pct_start=3", r"^optimizer or scheduler: .*pct_start"),
        ("steps=5", r"^steps=5 is filled in, and is 12 in this training; a sooner end is \+trainer\.max_steps$"),
    ],
)
def test_what_makes_no_sense_is_told_before_training(settings, sentence, compose_train):
    with pytest.raises(UserError, match=sentence):
        build(compose_train(*SMALL, *settings.split()))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_packed_runs_follow_their_schedules_by_the_step(tmp_path, optimizer):
    """Each its own: one cycle as long as its training, beside a warm-up by the step and one by the epoch."""
    cycle = ["scheduler=one_cycle", "data.train_size=150,200"]
    warm = [*LINEAR, "+scheduler.total_iters=2", "+scheduler.interval=step,epoch"]
    for study, own in {"cycle": cycle, "warm": warm}.items():
        command = ["-m", f"study={study}", *SMALL, f"optimizer={optimizer}", *own, "trainer.precision=64-true"]
        for name, launcher in {"alone": [], "packed": ["hydra/launcher=packed"]}.items():
            (tmp_path / name).mkdir(exist_ok=True)
            done = train(*command, *launcher, cwd=tmp_path / name)
            assert (done.code, done.err) == (0, "")
        assert "packed: 2 runs in 1 pack\n" in done.out
        left, right = (folders(tmp_path / name / "outputs" / "multirun" / study) for name in ("alone", "packed"))
        for name, folder in left.items():
            compare(folder, right[name], 1e-9)
            assert record(right[name])["config"]["steps"] == record(folder)["config"]["steps"]
