"""What sweepers have in common that decide on the next runs by what the last ones gave."""

import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from ..compose.protocol import settle_modes
from ..core.errors import UserError, shown
from ..run.record import RecordedRun, flat, load_run


class StudySweeper(Sweeper):
    """Hands batches of jobs to the launcher, and looks at the records of their runs.

    It keeps no state but these records. What it decides follows from them alone, so the same command after a kill
    decides the same again, finds the finished runs in their folders, and trains only what is missing.

    Args:
        params: keys and their values or ranges, before those of the command line.
    """

    config: DictConfig
    launcher: Launcher

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        if not isinstance(params, Mapping | None):
            raise UserError(f"hydra.sweeper.params={params} must be a mapping {{key: values}}")
        self.params = dict(params or {})
        self.jobs = 0

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        settle_modes(config)  # what contradicts itself is told before any run
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)

    def planned(self, arguments: Sequence[str]) -> list[list[list[str]]]:
        """The batches of jobs that `sweep` would launch, at most.

        Jobs that follow from results are not known yet: others that take as long stand in for them.
        """
        raise UserError(f"{type(self).__name__} does not tell how many runs it may launch")

    def sorted_out(
        self, arguments: Sequence[str], apart: Collection[str] = ()
    ) -> tuple[list[str], list[Override], list[int]]:
        """The overrides that all runs share, those that sweep, both without the keys `apart`; and the seeds."""
        mine = [f"{key}={value}" for key, value in self.params.items()]
        self.overrides = {o.key_or_group: o for o in self.parser.parse_overrides([*mine, *arguments])}
        rest = [override for key, override in self.overrides.items() if key != "seed" and key not in apart]
        fixed = [str(override.input_line) for override in rest if not override.is_sweep_override()]
        seed = self.overrides.get("seed")
        return fixed, [o for o in rest if o.is_sweep_override()], seeds_of(seed) if seed else [0]

    def options(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that `regularizer=a,b` on the command line leaves; all of them without it."""
        asked = self.overrides.get("regularizer")
        chosen = list(names) if asked is None else _values(asked)
        for name in chosen:
            if name not in names:
                raise UserError(f"regularizer={name} is not among this study's techniques: {', '.join(names)}")
        return chosen

    def space(self, knobs: Mapping[str, str]) -> list[Override]:
        """Where the knobs of a technique are searched: as the command line says, else as `knobs` does."""
        mine = self.parser.parse_overrides([f"{key}={value}" for key, value in knobs.items()])
        return [self.overrides.get(override.key_or_group, override) for override in mine]

    def launch(self, jobs: Sequence[Sequence[str]]) -> list[RecordedRun]:
        """One run for each job."""
        jobs = [list(job) for job in jobs]
        if not self.jobs:
            folder = Path(self.config.hydra.sweep.dir)
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
        self.validate_batch_is_legal(jobs)
        results = self.launcher.launch(jobs, initial_job_idx=self.jobs)
        self.jobs += len(jobs)
        for result in results:
            _ = result.return_value  # raises what ended a job before it was a run
        # of DDP's processes only the first has the returned values; the records are there for all
        configs: list[Any] = [result.hydra_cfg for result in results]
        return [load_run(Path(config.hydra.runtime.output_dir)) for config in configs]

    def score(self, run: RecordedRun) -> float:
        """The monitored metric of the chosen epoch; NaN of a run that did not complete."""
        value = flat(run.metrics).get(self.config.monitor) if run.status == "completed" else None
        return math.nan if value is None else float(value)

    def best(self, scores: Sequence[float]) -> int | None:
        """The place of the best score; None if all are NaN."""
        known = [i for i, score in enumerate(scores) if not math.isnan(score)]
        choose = min if self.config.mode == "min" else max
        return choose(known, key=lambda i: scores[i], default=None)


def say(sentence: str) -> None:
    """Once: DDP's further processes run the same sweep."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(sentence, flush=True)


def whole(name: str, value: object, least: int = 1) -> int:
    """A setting of the sweeper that must be a whole number. Raises UserError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"hydra.sweeper.{name}={shown(value)} must be a whole number >= {least}")
    return value


def key_of(value: object) -> str:
    """The setting `key` of the sweeper. Raises UserError."""
    if not isinstance(value, str) or not value:
        raise UserError(f"hydra.sweeper.key={shown(value)} must be the name of a key, such as regularizer.l2.strength")
    return value


def flag(name: str, value: object) -> bool:
    """A setting of the sweeper that must be true or false. Raises UserError."""
    if not isinstance(value, bool):
        raise UserError(f"hydra.sweeper.{name}={shown(value)} must be true or false")
    return value


def knobs_of(setting: str, given: object) -> dict[str, dict[str, str]]:
    """Options of `regularizer` and where to search the knobs of each. Raises UserError."""
    if not isinstance(given, Mapping) or not all(isinstance(knobs, Mapping | None) for knobs in given.values()):
        raise UserError(f"hydra.sweeper.{setting}: {given} must be like {{none: {{}}, l2: {{KEY: interval(a,b)}}}}")
    return {name: dict(knobs or {}) for name, knobs in given.items()}


def seeds_of(override: Override) -> list[int]:
    values: list[Any] = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    if not all(isinstance(value, int) and value >= 0 for value in values):
        raise UserError(f"{override.input_line}: seeds are averaged, not searched; give them as seed=range(3)")
    return list(dict.fromkeys(values))


def suggest(trial: Any, override: Override, technique: str = "") -> str:
    """Optuna's draw for a sweep of Hydra's, as an override; numbers to four digits, so that folders can be read.

    The same key of two techniques is two things to Optuna. An override that does not sweep is taken as it is.
    """
    key, sweep = override.get_key_element(), override.value()
    name = f"{technique}:{key}"
    if not override.is_sweep_override():
        return str(override.input_line)
    if isinstance(sweep, IntervalSweep) and sweep.start is not None and sweep.end is not None:
        log = "log" in sweep.tags
        if sweep.start > sweep.end or (log and sweep.start <= 0):
            raise UserError(f"{override.input_line} must go up, and on a log scale begin above 0")
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return f"{key}={trial.suggest_int(name, sweep.start, sweep.end, log=log)}"
        return f"{key}={trial.suggest_float(name, float(sweep.start), float(sweep.end), log=log):.4g}"
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        return f"{key}={trial.suggest_categorical(name, _values(override))}"
    raise UserError(f"{override.input_line} is no range: write interval(a,b), tag(log,interval(a,b)) or choice(a,b)")


def _values(override: Override) -> list[str]:
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]
