"""The Hydra callback that ends a study with its report.

Configured as `hydra.callbacks.study_report._target_: regnet.report.callback.StudyReport`.
"""

import os
import shlex
import sys
from collections import Counter
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ..core.console import printable
from ..core.errors import UserError, shown
from ..core.overrides import as_typed
from ..core.processes import leads
from ..run.record import runs_in
from ..run.study import STUDY, STUDY_RUNS, STUDY_SWEPT
from .ahead import PageProcess
from .command import show

if TYPE_CHECKING:
    from .content import Content

WITHOUT_RESULT = ("failed", "interrupted", "damaged")  # an unfinished run may still be running


class StudyReport(Callback):
    """Tells the runs how many they are, and makes the study's report when the last has ended.

    Does nothing in the further processes of a DDP run.

    Args:
        page: with report.html and its figures, which take seconds; without it the report is printed only.
    """

    def __init__(self, page: bool = True) -> None:
        if not isinstance(page, bool):
            raise UserError(f"hydra.callbacks.study_report.page={shown(page)} must be true or false")
        self.page = page
        self.ahead: PageProcess | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Put the study's name, the number of runs and the keys by which they differ into the environment."""
        if not leads():
            return
        if "LOCAL_RANK" not in os.environ and (name := config.get("study")):
            os.environ[STUDY] = str(name)
        os.environ.pop(STUDY_RUNS, None)
        os.environ.pop(STUDY_SWEPT, None)
        sizes = sweep_sizes(config)
        if sizes is not None:
            os.environ[STUDY_RUNS] = str(prod(sizes.values()))
            os.environ[STUDY_SWEPT] = ",".join(sizes)
        if self.page:
            with suppress(OSError):  # the page is then made by this process
                self.ahead = PageProcess()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Make the report; exit with code 1 if a run has no result, or none is found."""
        if not leads():
            return
        folder = Path(config.hydra.sweep.dir)
        ahead, self.ahead = self.ahead, None
        for name in (STUDY, STUDY_RUNS, STUDY_SWEPT):
            os.environ.pop(name, None)
        # Hydra turns an exception of a callback into a bare warning, so that the study would end in silence.
        try:
            if ahead:
                ahead.begin(folder)
            from .content import content  # imports scipy, for which the start of a run should not wait

            told = (ahead and ahead.told()) or content(runs_in([folder]))
            show(told)
            page = [f"The page: {ahead.page() if ahead else _published(told, folder)}"] if self.page else []
            # A long table has pushed the answer out of sight.
            print("", *told.headlines, *page, sep="\n")
        except Exception as error:
            print(printable(f"The study's report could not be made: {error}"), file=sys.stderr)
            sys.exit(1)
        finally:
            if ahead:
                ahead.leave()
        quoted = shlex.quote(str(folder))
        print(f"The study is in {folder}\n  regnet-report {quoted}")
        print(f"  regnet-report {quoted} --tensorboard curves && tensorboard --logdir curves")
        without = Counter(run.status for run in told.runs if run.status in WITHOUT_RESULT)
        if without:
            counts = ", ".join(f"{count} {status}" for status, count in without.items())
            print(f"exit code 1: of {len(told.runs)} runs {counts}", file=sys.stderr)
            sys.exit(1)


def _published(told: "Content", folder: Path) -> Path:
    from .publish import publish

    return publish(told, folder)


def basic_sweeper() -> str:
    """The path of the class by which Hydra sweeps unless another is chosen."""
    Plugins.instance()  # Hydra stores the configs of its sweepers when it first looks for plugins
    return ConfigStore.instance().load("hydra/sweeper/basic.yaml").node._target_


def sweep_sizes(config: DictConfig) -> dict[str, int] | None:
    """The number of values of every swept key; None where it cannot be known, as with a sweeper that searches."""
    if config.hydra.sweeper._target_ != basic_sweeper():
        return None
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    try:
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        overrides = parser.parse_overrides([*params, *as_typed(config.hydra.overrides.task)])
        # A key given twice counts once, the last: so the sweeper takes it.
        sizes = {
            override.key_or_group: sum(1 for _ in override.sweep_string_iterator())
            if override.is_sweep_override()
            else 1
            for override in overrides
        }
    except HydraException:
        return None
    return {key: size for key, size in sizes.items() if size > 1}
