"""`hydra/launcher=packed`: the runs of a study that differ in numbers only are trained as one."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals

from ..commands.apart import names_by_values
from ..commands.launcher import StudyLauncher, goes_on, is_ours, others_first, wait_for_others
from ..commands.train import prepare_process
from ..core.console import printable
from ..core.errors import UserError, shown
from ..core.files import stops_if_unwritable
from ..core.overrides import as_typed
from ..core.processes import leads
from ..run.life import score, summary
from ..run.study import place_in_study
from .job import Job, Outcome
from .plan import plan

if TYPE_CHECKING:
    from ..compose.shared_data import SharedData


class PackAnnouncer:
    """Passes on what is told of a pack: a line for each job that ends, to the terminal and to Hydra.

    Jobs of one folder are one run, which is trained once.
    """

    def __init__(self, launcher: "PackedLauncher", jobs: Sequence[Job]) -> None:
        from .progress import PackProgress  # Hydra imports this file for every `--help`

        self.launcher = launcher
        self.twins: dict[Path, list[Job]] = {}
        for job in jobs:
            self.twins.setdefault(job.folder, []).append(job)
        self.first = [twins[0] for twins in self.twins.values()]
        self.numbers = {job.number: job for job in self.first}
        self.returns: dict[int, JobReturn] = {}
        self.alone: list[Job] = []
        self.folders_taken: list[Path] = []
        self.said: set[str] = set()
        self.progress = PackProgress(len(self.first), sum(map(_epochs, self.first)), self.say)

    def ended(self, number: int, outcome: Outcome) -> None:
        trained, *copies = self.twins[self.numbers[number].folder]
        self._tell(trained, outcome, outcome.before or summary(outcome.record))
        for job in copies:
            self._tell(job, outcome, "was done before")
        epochs = 0 if outcome.before else outcome.record["epochs"] or 0
        self.progress.end(_epochs(trained) - epochs)

    def taken(self, number: int) -> None:
        job = self.numbers[number]
        self.say(others_first(_place(job)))
        self.folders_taken.append(job.folder)
        self.progress.end(_epochs(job))

    def cannot(self, numbers: Sequence[int], reason: str) -> None:
        jobs = [job for number in numbers for job in self.twins[self.numbers[number].folder]]
        self.say(f"packed: {len(jobs)} run{'s are' if len(jobs) > 1 else ' is'} trained alone, as {reason}")
        self.alone += jobs

    def trained(self, epochs: int) -> None:
        self.progress.trained(epochs)

    def say(self, sentence: str) -> None:
        if sentence not in self.said:  # several processes may find the same
            self.said.add(sentence)
            print(sentence, flush=True)

    def _tell(self, job: Job, outcome: Outcome, text: str) -> None:
        well = outcome.record["status"] == "completed"
        print(
            printable(f"{_place(job)}  {text}"),
            file=sys.stdout if well else sys.stderr,
            flush=True,
        )
        result = JobReturn(overrides=list(job.overrides), cfg=job.config, hydra_cfg=job.config)
        result.return_value, result.status = score(outcome.record), JobStatus.COMPLETED
        self.launcher.hydra_context.callbacks.on_job_end(config=job.config, job_return=result)
        self.returns[job.number] = result


def _of_others(jobs: Sequence[Job]) -> dict[int, JobReturn]:
    """What DDP's further processes know of runs that the first one trains."""
    found = {job.number: JobReturn(job.overrides, job.config, job.config, status=JobStatus.COMPLETED) for job in jobs}
    for result in found.values():
        result.return_value = float("nan")
    return found


def _place(job: Job) -> str:
    return place_in_study(job.number, job.overrides)


def _epochs(job: Job) -> int:
    return job.config.trainer.max_epochs


class PackedLauncher(StudyLauncher):
    """Trains packs of runs, and what cannot be packed one by one. Runs that another process trains come last.

    Args:
        size: the most runs in a stack; None is as many as memory allows.
    """

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        self.size = size
        self.data: SharedData | None = None  # read once for all packs of the study

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        size = self.size
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
            raise UserError(f"hydra.launcher.size={shown(size)} must be a whole number >= 1, or null")
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        if not is_ours(self.task_function):
            return super().launch(job_overrides, initial_job_idx)
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        self.asked = dict(enumerate(job_overrides, initial_job_idx))
        jobs = [self._prepare(overrides, number) for number, overrides in self.asked.items()]
        returns: dict[int, JobReturn] = {}
        while left := [job for job in jobs if job.number not in returns]:
            chosen = plan(left)
            taken: list[Path] = []
            if len(left) > 1 and leads():
                print(chosen.sentence, flush=True)
            for pack in chosen.packs:
                returns |= self._train(pack, taken) if leads() else _of_others(pack)
            for job, _ in chosen.alone:
                returns |= self._alone(job, taken)
            wait_for_others(taken)
        return [returns[job.number] for job in jobs]

    def _prepare(self, overrides: Sequence[str], number: int) -> Job:
        """The composed job; its folder is made when it is trained."""
        config = self.composed(overrides, number)
        if not names_by_values(config):
            self.apart.add(config)
        folder = Path(config.hydra.runtime.output_dir)
        return Job(number, tuple(as_typed(config.hydra.overrides.task)), folder, config)

    def _train(self, jobs: Sequence[Job], taken: list[Path]) -> dict[int, JobReturn]:
        told = PackAnnouncer(self, jobs)
        try:
            with stops_if_unwritable(jobs[0].folder.parent), told.progress:
                for job in jobs:
                    self.hydra_context.callbacks.on_job_start(config=job.config, task_function=self.task_function)
                from ..compose.shared_data import SharedData  # Hydra imports this file for every `--help`
                from .workers import train

                prepare_process()
                self.data = self.data or SharedData()
                train(told.first, self.size, told, self.data)
        except (KeyboardInterrupt, SystemExit):  # Lightning makes the one the other
            print(goes_on(self.config), flush=True)
            raise
        taken += told.folders_taken
        for job in told.alone:
            told.returns |= self._alone(job, taken)
        return told.returns

    def _alone(self, job: Job, taken: list[Path]) -> dict[int, JobReturn]:
        result = self.run_alone(self.asked[job.number], job.number, taken)
        return {} if result is None else {job.number: result}
