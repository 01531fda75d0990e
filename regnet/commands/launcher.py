"""`hydra/launcher=basic`: the runs of a study one by one, shared with other processes on the same study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from ..compose.hydra_private import BasicLauncher
from ..compose.sweep_loader import SweepLoader
from ..core.console import printable
from ..core.files import unwritable
from ..run.lock import Taken, wait_for
from ..run.study import position
from .apart import FoldersApart, names_by_values
from .train import task


class StudyLauncher(BasicLauncher):
    """Hydra's basic launcher, but runs that another process trains come last.

    They are waited for; what the other process left undone is then trained here.
    """

    hydra_context: HydraContext  # `setup` gives these three, before anything else is called
    config: DictConfig
    task_function: TaskFunction

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        # the sweeper has the same context, and composes all jobs before they come here
        hydra_context.config_loader = SweepLoader(hydra_context.config_loader)  # type: ignore[assignment]  # it is one
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.apart = FoldersApart()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        if not is_ours(self.task_function):
            return super().launch(job_overrides, initial_job_idx)
        if not names_by_values(self.config):
            for number, overrides in enumerate(job_overrides, initial_job_idx):
                self.apart.add(self.composed(overrides, number))
        left = dict(enumerate(job_overrides, initial_job_idx))
        returns: dict[int, JobReturn] = {}
        while left:
            taken: list[Path] = []
            for number, overrides in list(left.items()):
                if (result := self.run_alone(overrides, number, taken)) is not None:
                    returns[number] = result
                    del left[number]
            wait_for_others(taken)
        return [returns[number] for number in sorted(returns)]

    def composed(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The config of a job, which knows its number and its folder."""
        config: DictConfig = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with read_write(config), open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
            folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
            config.hydra.runtime.output_dir = str(folder.absolute())
        return config

    def run_alone(self, overrides: Sequence[str], number: int, taken: list[Path]) -> JobReturn | None:
        """What came of the run; None where another process trains it, whose folder is then put to `taken`."""
        before, train = len(taken), self.task_function

        def unless_taken(cfg: DictConfig) -> Any:
            try:
                return task(cfg, wait=False)
            except Taken:
                print(others_first(position()), flush=True)
                taken.append(Path(HydraConfig.get().runtime.output_dir))

        self.task_function = unless_taken
        try:
            (result,) = super().launch([overrides], number)
        except OSError as error:  # in the files that Hydra writes before a run
            print(goes_on(self.config), flush=True)
            if stop := unwritable(error, Path(str(self.config.hydra.sweep.dir))):
                raise stop from error
            raise
        finally:
            self.task_function = train
        return result if len(taken) == before else None


def goes_on(config: DictConfig) -> str:
    """What is said of a study that was cut off."""
    return f"interrupted; the same command with study={config.study} goes on from here"


def others_first(place: str) -> str:
    """What is said of a run that is left to another process."""
    return f"{printable(place)}  is being trained by another process; the others come first"


def wait_for_others(folders: Sequence[Path]) -> None:
    """Returns when other processes have let go of these runs."""
    if folders:
        runs = "a run that another process trains" if len(folders) == 1 else f"{len(folders)} runs of other processes"
        print(f"waits for {runs}", flush=True)
    for folder in folders:
        wait_for(folder)


def is_ours(task_function: Any) -> bool:
    """Whether a command trains, and does not evaluate."""
    return getattr(task_function, "__code__", None) == task.__code__
