"""How long runs take: a few of their steps, trained for real in a folder that is gone afterwards, and timed."""

import json
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, open_dict, read_write

from ..commands.train import live
from ..compose.mistakes import sentence
from ..compose.shared_data import SharedData
from ..data import DataModule
from ..packed.job import Job, Outcome
from ..packed.workers import train
from ..run.life import Run
from ..run.schema import MEASURED

FILES = ("tensorboard", "csv")  # loggers that write into the run's folder, and tell nobody else
BY_EPOCH = ("metrics.csv", "events.out")  # files that grow with every epoch


class Pace(NamedTuple):
    """What one run takes; in a pack its share.

    Args:
        fixed: seconds beside its epochs: to build, test and record it.
        epoch: seconds of an epoch, validation included.
        steps: of that epoch.
        kept: bytes that it leaves on disk whatever its length.
        grown: bytes that each epoch adds.
    """

    fixed: float
    epoch: float
    steps: float
    kept: float
    grown: float


class NotTimed(Exception):
    """The trial has ended without a result; the message says why."""


def time_alone(job: Job, epochs: int, steps: int) -> Pace:
    """One run by itself, so many steps of so many epochs. Raises NotTimed."""
    with TemporaryDirectory(prefix="regnet-plan-") as place:
        clock = {"_target_": f"{__name__}.Clock", "epochs": epochs, "file": f"{place}/clock.json"}
        (trial,) = _copies([job], Path(place))
        with read_write(trial.config), open_dict(trial.config):
            trial.config.callbacks.clock = clock
            trial.config.trainer.limit_train_batches = steps
        trial.write_config()
        trial.activate()
        start = time.perf_counter()
        record = _lived(trial)
        seconds = time.perf_counter() - start
        if record["status"] not in MEASURED:
            raise NotTimed(record["reason"])
        marks = json.loads(Path(place, "clock.json").read_text())
        lengths = [end - begin for begin, end in pairwise(marks)]
        # the first epoch has what torch does once
        epoch = median(lengths[1:] or lengths)
        return Pace(seconds - epoch * len(lengths), epoch, steps, *_size(trial.folder, len(lengths)))


def time_packed(jobs: Sequence[Job], size: int | None, epochs: int, steps: int) -> Pace:
    """All of these in packs, on all cores, so many steps of so many epochs. Raises NotTimed."""
    data = FewSteps(steps)
    with TemporaryDirectory(prefix="regnet-plan-") as place:
        trials = _copies(jobs, Path(place))
        for trial in trials:
            with read_write(trial.config), open_dict(trial.config):
                trial.config.trainer.max_epochs = epochs
            trial.write_config()
        watch = Stopwatch()
        start = time.perf_counter()
        train(trials, size, watch, data)
        seconds = time.perf_counter() - start
        failed = [record["reason"] for record in watch.records if record["status"] not in MEASURED]
        if watch.reason or not watch.records or failed:
            raise NotTimed(watch.reason or (failed or ["it trained nothing"])[0])
        epoch = watch.pace(len(jobs))
        kept = [_size(trial.folder, epochs) for trial in trials]
        fixed = seconds / len(jobs) - epochs * epoch
        per_epoch = fmean(data.of(job.task_config()).batches() for job in jobs)
        return Pace(max(0.0, fixed), epoch, per_epoch, *map(fmean, zip(*kept, strict=True)))


class Clock(Callback):
    """Writes down when training began and when each epoch ended; ends training after so many."""

    def __init__(self, epochs: int, file: str) -> None:
        self.epochs, self.file = epochs, Path(file)
        self.marks: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.marks.append(time.perf_counter())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.marks.append(time.perf_counter())
        trainer.should_stop = trainer.should_stop or len(self.marks) > self.epochs
        self.file.write_text(json.dumps(self.marks))


class FewSteps(SharedData):
    """Data whose epochs are cut short; validation is as long as ever."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def of(self, cfg: DictConfig) -> DataModule:
        data = super().of(cfg)
        data.train = data.train.first(self.steps * data.batch_size)
        return data


class Stopwatch:
    """A `Reporter` that takes the time."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.reason = ""
        self.done = 0
        self.marks: list[tuple[float, int]] = []  # the time, and the epochs of all runs together until then

    def ended(self, number: int, outcome: Outcome) -> None:
        self.records.append(outcome.record)

    def taken(self, number: int) -> None:
        self.reason = "another process trains it"

    def cannot(self, numbers: list[int], reason: str) -> None:
        self.reason = reason

    def trained(self, epochs: int) -> None:
        self.done += epochs
        self.marks.append((time.perf_counter(), self.done))

    def say(self, sentence: str) -> None:
        pass

    def pace(self, runs: int) -> float:
        """Seconds of an epoch of one run, without the first epochs, in which a step is recorded."""
        marks = [mark for mark in self.marks if mark[1] >= runs]
        (begin, before), (end, after) = marks[0], marks[-1]
        return (end - begin) / (after - before)


log = logging.getLogger(__name__)
_told = partial(sentence, config_name="train")


def _lived(trial: Job) -> dict[str, Any]:
    """The record of the run, which says nothing on the terminal."""
    run = Run(trial.task_config(), trial.folder, trial.overrides, "basic", _told, log=trial.log())
    try:
        run.begin()
        return live(run)
    finally:
        run.release()
        for handler in run.log.handlers:
            handler.close()


def _copies(jobs: Sequence[Job], place: Path) -> list[Job]:
    """The same runs in other folders, which tell no tracker of experiments."""
    copies = []
    for job in jobs:
        config, folder = job.config.copy(), place / str(job.number)
        with read_write(config), open_dict(config):
            config.hydra.runtime.output_dir = str(folder)
            config.logger = {name: node for name, node in config.logger.items() if name in FILES}
        folder.mkdir()
        copies.append(replace(job, folder=folder, config=config))
    return copies


def _size(folder: Path, epochs: int) -> tuple[float, float]:
    """Bytes that stay as they are, and those that each of the epochs has added."""
    kept = grown = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size = path.stat().st_size if path.is_file() else 0
            if path.name.startswith(BY_EPOCH):
                grown += size
            else:
                kept += size
    return kept, grown / epochs
