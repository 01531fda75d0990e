"""`hydra/launcher=packed`: the runs of a study that differ in numbers only are trained as one."""

import logging
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ..cli import position
from ..errors import UserError
from .job import CannotPack, Job, Outcome
from .plan import plan

log = logging.getLogger(__name__)


class PackedLauncher(BasicLauncher):
    """Trains packs of runs, and what cannot be packed one by one as Hydra's basic launcher does.

    Args:
        size: the most runs in a pack; None is as many as memory allows.
    """

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
            raise UserError(f"hydra.launcher.size={size} must be a whole number >= 1, or null")
        self.size = size

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from ..train import task

        if self.task_function is not task:
            return super().launch(job_overrides, initial_job_idx)
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = [self._prepare(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        chosen = plan(jobs, self.size)
        if len(jobs) > 1:
            print(chosen.sentence, flush=True)
        returns: dict[int, JobReturn] = {}
        for pack in chosen.packs:
            returns |= self._train(pack)
        for job, _ in chosen.alone:
            returns[job.number] = self._alone(job)
        return [returns[job.number] for job in jobs]

    def _prepare(self, overrides: Sequence[str], number: int) -> Job:
        """The composed job; its folder is made when it is trained."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        HydraConfig.instance().set_config(config)
        folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder.absolute())
        HydraConfig.instance().set_config(config)
        cfg = deepcopy(config)
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        return Job(number, tuple(config.hydra.overrides.task), folder.absolute(), cfg, config)

    def _train(self, jobs: Sequence[Job]) -> dict[int, JobReturn]:
        """Jobs of one folder are one run."""
        from .pack import train_pack

        for job in jobs:
            self._write_config(job)
            self.hydra_context.callbacks.on_job_start(config=job.hydra, task_function=self.task_function)
        first = {job.folder: job for job in reversed(jobs)}
        try:
            outcomes = self._split(train_pack, [job for job in jobs if first[job.folder] is job])
        except CannotPack as reason:
            print(f"packed: {len(jobs)} runs are trained alone, as {reason}", flush=True)
            return {job.number: self._alone(job) for job in jobs}
        return {job.number: self._tell(job, outcomes[first[job.folder].number]) for job in jobs}

    def _split(self, train_pack, jobs: Sequence[Job]) -> dict[int, Outcome]:
        """Trains a pack; where memory runs out, its halves, which go on from their last checkpoints."""
        try:
            return {job.number: outcome for job, outcome in zip(jobs, train_pack(jobs, self.size), strict=True)}
        except MemoryError:
            if len(jobs) == 1:
                raise
            half = len(jobs) // 2
            print(f"packed: out of memory with {len(jobs)} runs; goes on with {half} at once", flush=True)
            return self._split(train_pack, jobs[:half]) | self._split(train_pack, jobs[half:])

    def _tell(self, job: Job, outcome: Outcome) -> JobReturn:
        """Logs how a job ended, to its own file too."""
        from ..train import score, summary

        record = outcome.record
        HydraConfig.instance().set_config(job.hydra)
        configure_log(job.hydra.hydra.job_logging, job.hydra.hydra.verbose)
        level = logging.INFO if record["status"] == "completed" else logging.ERROR
        log.log(level, "  ".join(filter(None, (position(), summary(record)))))
        if outcome.traceback:
            log.debug("%s", outcome.traceback)
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        result = JobReturn(overrides=list(job.overrides), cfg=job.cfg, hydra_cfg=job.hydra, working_dir=str(Path.cwd()))
        result.return_value, result.status = score(job.cfg, record), JobStatus.COMPLETED
        self.hydra_context.callbacks.on_job_end(config=job.hydra, job_return=result)
        return result

    def _alone(self, job: Job) -> JobReturn:
        return super().launch([[*job.overrides]], job.number)[0]

    @staticmethod
    def _write_config(job: Job) -> None:
        """What Hydra leaves in a run's folder."""
        place = job.folder / str(job.hydra.hydra.output_subdir)
        place.mkdir(parents=True, exist_ok=True)
        only_hydra = OmegaConf.masked_copy(job.hydra, ["hydra"])
        configs: dict[str, DictConfig] = {
            "config": job.cfg,
            "hydra": only_hydra,
            "overrides": job.hydra.hydra.overrides.task,
        }
        for name, config in configs.items():
            (place / f"{name}.yaml").write_text(OmegaConf.to_yaml(config), encoding="utf-8")
