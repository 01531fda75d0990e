"""What sweepers have in common that decide on the next runs by what the last ones gave."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from ..errors import UserError
from ..runs import read_record


class StudySweeper(Sweeper):
    """Hands batches of jobs to the launcher, and looks at what came of them.

    Args:
        params: keys and their values or ranges, before those of the command line.
    """

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self.params = dict(params or {})
        self.jobs = 0

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)

    @property
    def folder(self) -> Path:
        """Of the study; made with the first job."""
        return Path(self.config.hydra.sweep.dir)

    def given(self, arguments: Sequence[str]) -> tuple[list[str], list[Override], list[int]]:
        """The overrides that all runs share, those that sweep, and the seeds."""
        mine = [f"{key}={value}" for key, value in self.params.items()]
        overrides = {o.key_or_group: o for o in self.parser.parse_overrides([*mine, *arguments])}
        seed = overrides.pop("seed", None)
        fixed = [override.input_line for override in overrides.values() if not override.is_sweep_override()]
        return fixed, [o for o in overrides.values() if o.is_sweep_override()], seeds_of(seed) if seed else [0]

    def launch(self, jobs: Sequence[Sequence[str]]) -> list[Any]:
        """Hydra's results, one for each job."""
        jobs = [list(job) for job in jobs]
        if not self.jobs:
            self.folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, self.folder / "multirun.yaml")
        self.validate_batch_is_legal(jobs)
        results = list(self.launcher.launch(jobs, initial_job_idx=self.jobs))
        self.jobs += len(jobs)
        return results

    def best(self, scores: Sequence[float]) -> int:
        """The place of the best score; runs without one, which are NaN, come last."""
        sign = 1 if self.config.mode == "min" else -1
        return min(range(len(scores)), key=lambda i: (scores[i] != scores[i], sign * scores[i]))


def whole(name: str, value: object, least: int = 1) -> int:
    """A setting of the sweeper that must be a whole number. Raises UserError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"hydra.sweeper.{name}={value} must be a whole number >= {least}")
    return value


def seeds_of(override: Override) -> list[int]:
    values = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    if not all(isinstance(value, int) and value >= 0 for value in values):
        raise UserError(f"{override.input_line}: seeds are averaged, not searched; give them as seed=range(3)")
    return values


def suggest(trial: Any, override: Override) -> str:
    """Optuna's draw for a sweep of Hydra's, as an override; numbers to four digits, so that folders can be read."""
    name, sweep = override.get_key_element(), override.value()
    if isinstance(sweep, IntervalSweep):
        log = "log" in sweep.tags
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return f"{name}={trial.suggest_int(name, sweep.start, sweep.end, log=log)}"
        return f"{name}={trial.suggest_float(name, float(sweep.start), float(sweep.end), log=log):.4g}"
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        return f"{name}={trial.suggest_categorical(name, list(override.sweep_string_iterator()))}"
    raise UserError(f"{override.input_line} is no range: write interval(a,b), tag(log,interval(a,b)) or choice(a,b)")


def folder_of(result: Any) -> str | None:
    """The folder of a run that completed."""
    folder = result.hydra_cfg.hydra.runtime.output_dir
    record = read_record(folder)
    return folder if record is not None and record["status"] == "completed" else None
