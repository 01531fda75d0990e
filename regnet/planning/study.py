"""The runs that a study would have."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.sweeper import Sweeper
from omegaconf import open_dict, read_write

from ..core.errors import UserError
from ..core.overrides import as_typed
from ..packed.job import Job
from ..report.callback import basic_sweeper
from ..report.study import Study, studies
from ..run.identity import identity
from ..run.record import RecordedRun
from ..run.resuming import finished
from ..run.study import resolved_config
from ..sweepers.base import StudySweeper


@dataclass(frozen=True)
class PlannedStudy:
    """What a command would launch.

    Args:
        batches: jobs that are launched together.
        known: whether these are the runs themselves; else results decide on some, and there are at most so many.
        folder: of the study.
    """

    batches: list[list[Job]]
    known: bool
    folder: Path

    @cached_property
    def jobs(self) -> list[Job]:
        """One for each run: jobs that share a folder are one run, trained once."""
        every = [job for batch in self.batches for job in batch]
        return list({job.folder: job for job in reversed(every)}.values())[::-1]

    @cached_property
    def done(self) -> set[Path]:
        """The folders of the runs that are finished."""
        ended = (job for job in self.jobs if self.known and (job.folder / "record.json").is_file())
        return {job.folder for job in ended if finished(job.folder, identity(job.task_config()))}

    @cached_property
    def left(self) -> list[list[Job]]:
        """The batches, without the runs that are finished or come twice."""
        own = {id(job) for job in self.jobs if job.folder not in self.done}
        batches = ([job for job in batch if id(job) in own] for batch in self.batches)
        return list(filter(None, batches))

    @cached_property
    def studies(self) -> list[Study]:
        """The arms, as the report will see them."""
        return studies(map(_unfinished, self.jobs))


def planned_study(sweeper: Sweeper, arguments: Sequence[str], loader: Any, config: Any) -> PlannedStudy:
    """The jobs that `sweeper` would launch for these overrides, composed.

    Raises:
        UserError: the sweeper does not tell.
    """
    known, jobs = config.hydra.sweeper._target_ == basic_sweeper(), []
    batches = _grid(sweeper, arguments, loader) if known else _asked(sweeper, arguments)
    number = 0
    for batch in batches:
        jobs.append([_composed(loader, config, own, number + i, known) for i, own in enumerate(batch)])
        number += len(batch)
    return PlannedStudy(jobs, known, Path(str(config.hydra.sweep.dir)))


def _asked(sweeper: Sweeper, arguments: Sequence[str]) -> list[list[list[str]]]:
    if not isinstance(sweeper, StudySweeper):
        raise UserError(f"hydra/sweeper: {type(sweeper).__name__} does not tell beforehand which runs it launches")
    return sweeper.planned(arguments)


def _grid(sweeper: Any, arguments: Sequence[str], loader: Any) -> list[list[list[str]]]:
    """Of Hydra's own sweeper."""
    own = [f"{key}={value}" for key, value in sweeper.params.items()]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides([*own, *arguments])
    found: list[list[list[str]]] = sweeper.split_arguments(overrides, sweeper.max_batch_size)
    return found


def _composed(loader: Any, master: Any, overrides: Sequence[str], number: int, known: bool) -> Job:
    """As the packed launcher prepares it; a job that stands in for an unknown one has a folder of its own."""
    config = loader.load_sweep_config(master, list(overrides))
    with read_write(config), open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
        folder = Path(str(config.hydra.sweep.dir)) / (str(config.hydra.sweep.subdir) if known else f"planned-{number}")
        config.hydra.runtime.output_dir = str(folder.absolute())
    return Job(number, tuple(as_typed(config.hydra.overrides.task)), folder.absolute(), config)


def _unfinished(job: Job) -> RecordedRun:
    job.activate()
    config = resolved_config(job.task_config())
    return RecordedRun(job.folder, "unfinished", overrides=job.overrides, config=config, seed=config.get("seed"))
