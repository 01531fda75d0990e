"""`regnet-plan`: what a study would take, and what it could tell, before a night is spent on it.

Takes what `regnet-train -m` takes. Trains a few steps of each kind of run, which it times, and leaves no file behind.
"""

import sys
import time
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict, read_write

from ..commands.launch import launch
from ..compose.sweep_loader import SweepLoader
from ..core.console import printable
from ..core.errors import UserError, shown
from ..core.overrides import Override
from ..report.callback import StudyReport

PLANNER = "hydra_plugins.regnet_sweepers.sweepers.PlanSweeper"


def main() -> None:
    sys.argv.insert(1, "-m")
    launch(task, config_name="plan")


def task(cfg: DictConfig) -> None:
    """No job is run."""


class PlanFirst(StudyReport):
    """In place of the study's report: the planner takes the place of the study's sweeper, which it asks."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        super().on_multirun_start(config)
        with read_write(config), open_dict(config):
            earlier = config.pop("from")
            study = config.hydra.sweeper.copy()
            config.hydra.sweeper = {"_target_": PLANNER, "_recursive_": False, "study": study, "earlier": earlier}
            # jobs are composed as `regnet-train` composes them
            config.hydra.job.config_name = "train"
            task = config.hydra.overrides.task
            config.hydra.overrides.task = [text for text in task if Override.guess(text).key != "from"]

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """There is nothing to report."""


class PlanSweeper(Sweeper):
    """Asks the study's own sweeper which jobs it would launch, and tells what they would take.

    Args:
        study: the config of the study's sweeper.
        earlier: the folder of an earlier study, or None.
    """

    def __init__(self, study: dict[str, Any], earlier: str | None) -> None:
        if not isinstance(earlier, str | None):
            raise UserError(f"from={shown(earlier)} must be the folder of an earlier study")
        self.study, self.earlier = study, earlier
        self.start = time.monotonic()

    def setup(self, *, hydra_context: HydraContext, task_function: Any, config: DictConfig) -> None:
        with read_write(config), open_dict(config):
            config.hydra.sweeper = self.study
        self.config = config
        self.sweeper: Any = Plugins.instance().instantiate_sweeper(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        loader = hydra_context.config_loader  # the packed launcher has one for many jobs already
        self.loader = loader if isinstance(loader, SweepLoader) else SweepLoader(loader)

    def sweep(self, arguments: list[str]) -> None:
        from ..commands.train import prepare_process  # these import torch, which `--help` does not need

        prepare_process()
        from .study import planned_study
        from .tell import told

        study = planned_study(self.sweeper, arguments, self.loader, self.config)
        for line in told(study, self.sweeper.launcher, self.earlier, self.start):
            print(printable(line), flush=True)
