"""What the runs of a study would take: time, memory and disk, kind by kind."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ..compose.build import Setup, build
from ..compose.shared_data import SharedData
from ..compose.trainer import processes
from ..core.threads import available
from ..data import DataModule
from ..data.samples import Samples
from ..packed.job import CannotPack, Job
from ..packed.member import Member
from ..packed.memory import room, try_pack
from ..packed.pack import trainer_of
from ..packed.plan import plan, signature
from ..run.life import Run
from ..training.operations import of_training
from .trial import NotTimed, Pace, log, time_alone, time_packed

STEPS = 24  # of an epoch of a trial: one of longer epochs is timed at two lengths, and the rest follows
EPOCHS = (3, 5)  # of a trial, at least and at most
RUNS = 16  # of a trial's pack, for each process
SECONDS = 1.0  # that a trial should take, of large networks more
SPEED = 4e10  # operations a second of one core; it only sets how much is tried


class Group(NamedTuple):
    """Runs of one kind that are trained together: a pack, or one run by itself, and then why it is."""

    jobs: list[Job]
    packed: bool
    why: str = ""


@dataclass(frozen=True)
class Estimate:
    """What one group takes.

    Args:
        seconds: of all its runs together; None where they could not be timed.
        disk: bytes of all its runs.
        reason: why they could not be timed, or packed.
        kept: bytes of memory that each run of a pack keeps.
        room: how many runs of a pack are in memory at a time; None of runs that are trained alone.
    """

    group: Group
    seconds: float | None
    disk: float = 0.0
    reason: str = ""
    kept: int = 0
    room: int | None = None


def grouped(batches: Sequence[Sequence[Job]], packs: bool) -> list[Group]:
    """How the launcher would take the jobs: in `packs` as far as they can be, or each by itself."""
    groups = []
    for batch in batches:
        chosen = plan(batch) if packs else None
        if chosen is None:
            groups += [Group([job], packed=False) for job in batch]
            continue
        groups += [Group(pack, packed=True) for pack in chosen.packs]
        groups += [Group([job], packed=False, why=why) for job, why in chosen.alone]
    return groups


def estimates(groups: Sequence[Group], workshop: "Workshop", most: int | None = None) -> list[Estimate]:
    """Of every group; of those of one kind and size only one is tried.

    Args:
        most: kinds that are tried, the most frequent; the others take what these take in the mean. None for all.

    Raises:
        UserError: a mistake in the overrides of a run that is tried.
    """
    keys = [(_kind(group.jobs[0]), len(group.jobs), group.packed) for group in groups]
    first = dict(zip(reversed(keys), reversed(groups), strict=True))
    known = {key: workshop.tried(first[key]) for key, _ in Counter(keys).most_common(most)}
    found = [known[key].of(group, workshop) for key, group in zip(keys, groups, strict=True) if key in known]
    runs = sum(len(one.group.jobs) for one in found if one.seconds is not None)
    seconds = sum(one.seconds or 0.0 for one in found) / max(1, runs)
    disk = sum(one.disk for one in found) / max(1, runs)
    others = [group for key, group in zip(keys, groups, strict=True) if key not in known]
    return found + [Estimate(one, len(one.jobs) * seconds, len(one.jobs) * disk) for one in others]


def data_bytes(data: DataModule) -> int:
    """Of the samples in memory."""

    def size(samples: Samples) -> int:
        return samples.y.nbytes + (0 if samples.lazy else samples.tensor.nbytes)

    return sum(map(size, (data.train, data.val, data.test)))


class _Tried(NamedTuple):
    """What a trial has shown of a kind: paces at one or two lengths of an epoch."""

    packed: bool
    paces: list[Pace]
    kept: int = 0
    room: int | None = None
    reason: str = ""

    def of(self, group: Group, workshop: "Workshop") -> Estimate:
        jobs = group.jobs
        group = Group(jobs, self.packed, group.why or ("" if self.packed == group.packed else self.reason))
        if not self.paces:
            return Estimate(group, None, reason=self.reason)
        seconds = disk = 0.0
        for job in jobs:
            steps, epochs = workshop.length(job)
            if math.isnan(epochs):
                return Estimate(group, None, reason="a metric or the clock ends their training")
            pace = self.paces[-1]
            seconds += fmean(one.fixed for one in self.paces) + epochs * _epoch(self.paces, steps)
            disk += pace.kept + epochs * pace.grown
        return Estimate(group, seconds, disk, self.reason, self.kept, self.room)


class Workshop:
    """Builds and times runs, which share the data."""

    def __init__(self, size: int | None) -> None:
        self.size, self.data = size, SharedData()

    def read(self, job: Job) -> None:
        """Reads the data of the job. Raises UserError."""
        job.activate()
        self.read_data = self.data.of(job.task_config())

    def tried(self, group: Group) -> _Tried:
        first = group.jobs[0]
        _, setup = self._build(first)
        if not group.packed:
            return self._alone(first, setup)
        try:
            kept, most = self._footprint(group.jobs)
        except (CannotPack, MemoryError) as error:
            reason = str(error) if isinstance(error, CannotPack) else "memory has no room for two of them"
            return self._alone(first, setup)._replace(reason=reason)
        cores = available() if _on_cpu(first) else 1
        most_jobs = min(len(group.jobs), RUNS * cores) if _on_cpu(first) else len(group.jobs)
        steps, epochs, runs = self._size_of(setup, first, most_jobs, cores)
        jobs = [group.jobs[i * len(group.jobs) // runs] for i in range(runs)]
        tried = _paces(lambda n: time_packed(jobs, self.size, epochs, n), steps, self._longest(jobs))
        if not tried.paces:  # found only when several are stacked
            return self._alone(first, setup)._replace(reason=tried.reason)
        return tried._replace(packed=True, kept=kept, room=most)

    def _alone(self, job: Job, setup: Setup) -> _Tried:
        steps, epochs, _ = self._size_of(setup, job, 1, 1)
        return _paces(lambda n: time_alone(job, epochs, n), steps, self._longest([job]))

    def _build(self, job: Job) -> tuple[DictConfig, Setup]:
        """The run, and its config with what was found in the data."""
        job.activate()
        cfg = job.task_config()
        return cfg, build(cfg, job.overrides, self.data.of)

    def _footprint(self, jobs: Sequence[Job]) -> tuple[int, int]:
        """Bytes of a run in a pack, and how many are in memory at a time. Raises CannotPack."""
        members = []
        for job in (jobs[0], jobs[-1]):
            cfg, setup = self._build(job)
            members.append(Member(job, cfg, setup, Run(cfg, job.folder)))
        trainer = trainer_of(members[0])
        kept, _ = try_pack(members, trainer, log)
        cores = available() if _on_cpu(jobs[0]) else 1
        fits = room(kept, trainer.strategy.root_device, cores) * cores
        return kept, min(len(jobs), fits, (self.size or fits) * cores)

    def length(self, job: Job) -> tuple[int, float]:
        """Steps of an epoch, as batches, and how many epochs; those that a metric ends sooner count in full."""
        job.activate()
        cfg = job.task_config()
        data, trainer = self.data.of(cfg), cfg.trainer
        steps = data.batches(processes(trainer))
        limit = trainer.get("overfit_batches") or trainer.get("limit_train_batches")
        if limit is not None:
            steps = min(steps, limit) if isinstance(limit, int) else max(1, int(steps * limit))
        ends = [] if trainer.max_epochs in (None, -1) else [float(trainer.max_epochs)]
        if (most := trainer.get("max_steps", -1)) != -1:
            ends.append(most * (trainer.get("accumulate_grad_batches") or 1) / steps)
        return steps, min(ends, default=math.nan)

    def _longest(self, jobs: Sequence[Job]) -> int:
        return max(self.length(job)[0] for job in jobs)

    def _size_of(self, setup: Setup, job: Job, runs: int, cores: int) -> tuple[int, int, int]:
        """Steps, epochs and runs of a trial that takes a few seconds, as far as the network lets it."""
        root = torch.device("cpu")
        step = (of_training(setup.module, setup.data, root) or 0) / SPEED + 1e-3
        steps = min(STEPS, self._longest([job]))
        while steps > 3 and EPOCHS[0] * steps * step > SECONDS:
            steps -= 1
        while runs > 2 * cores and EPOCHS[0] * steps * step * runs / cores > SECONDS:
            runs = max(2 * cores, runs // 2)
        spent = steps * step * max(1, runs / cores)
        return steps, max(EPOCHS[0], min(EPOCHS[1], int(SECONDS / spent))), runs


def _on_cpu(job: Job) -> bool:
    wanted = str(job.unresolved["trainer"]["accelerator"])
    return wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available())


def _paces(trial: Callable[[int], Pace], steps: int, longest: int) -> _Tried:
    """Of an epoch as long as it is, or of two shorter ones."""
    try:
        lengths = [longest] if longest <= steps else [max(1, steps // 3), steps]
        return _Tried(False, [trial(length) for length in lengths])
    except NotTimed as error:
        return _Tried(False, [], reason=str(error))


def _epoch(paces: Sequence[Pace], steps: float) -> float:
    """Seconds of an epoch of so many steps: a straight line through what was timed, that does not fall."""
    last = paces[-1]
    if len(paces) < 2 or last.steps <= paces[0].steps:
        return last.epoch * max(1.0, steps / last.steps)
    slope = max(0.0, (last.epoch - paces[0].epoch) / (last.steps - paces[0].steps))
    return last.epoch + (steps - last.steps) * slope


def _kind(job: Job) -> str:
    with suppress(LookupError, TypeError, AttributeError, OmegaConfBaseException):  # building it will tell
        return signature(job)
    return str(job.folder)
