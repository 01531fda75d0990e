"""What sweepers have in common that decide on the next runs by what the last ones gave."""

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from ..compose.protocol import settle_modes
from ..core.errors import UserError, shown
from ..core.metrics import SCALES, Scale
from ..core.overrides import written
from ..core.processes import leads
from ..run.identity import chosen
from ..run.record import RecordedRun, load_run
from .space import REPEATED, Knob, check_sweep, knob, repeats_of, strings


class StudySweeper(Sweeper):
    """Hands batches of jobs to the launcher, and looks at the records of their runs.

    It keeps no state but these records. What it decides follows from them alone, so the same command after a kill
    decides the same again, finds the finished runs in their folders, and trains only what is missing.

    Args:
        params: keys and their values or ranges, before those of the command line.
    """

    config: DictConfig
    hydra_context: Any  # `setup` gives it, which the base class does not know
    launcher: Launcher

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        if not isinstance(params, Mapping | None):
            raise UserError(f"hydra.sweeper.params={params} must be a mapping {{key: values}}")
        self.params = dict(params or {})
        self.jobs = 0

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        settle_modes(config, _watched(config))  # what contradicts itself is told before any run
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
    ) -> tuple[list[str], list[Override], dict[str, list[int]]]:
        """The overrides that all runs share, those that sweep, both without the keys `apart`; and seeds and splits.

        Raises:
            UserError: a sweep from which nothing can be drawn.
        """
        mine = [f"{key}={value}" for key, value in self.params.items()]
        self.overrides = {o.key_or_group: o for o in self.parser.parse_overrides([*mine, *arguments])}
        repeated = {"seed": [self.config.seed]}
        repeated |= {key: repeats_of(self.overrides[key]) for key in REPEATED if key in self.overrides}
        apart = {bare(key) for key in apart}
        rest = [override for key, override in self.overrides.items() if key not in apart and key not in REPEATED]
        swept = [override for override in rest if override.is_sweep_override()]
        for override in swept:
            if override.key_or_group in ("monitor", "mode"):
                raise UserError(f"{override.input_line}: the sweeper judges by the monitor, so give a single one")
            check_sweep(override)
        return [str(override.input_line) for override in rest if override not in swept], swept, repeated

    def options(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that `regularizer=a,b` on the command line leaves; all of them without it."""
        asked = self.overrides.get("regularizer")
        left = list(names) if asked is None else strings(asked)
        for name in left:
            if name not in names:
                raise UserError(f"regularizer={name} is not among this study's techniques: {', '.join(names)}")
        return left

    def space(self, fixed: Sequence[str], option: str, knobs: Mapping[str, str]) -> list[Knob]:
        """Where the knobs of a technique are searched: as the command line says, else as `knobs` does."""
        mine = self.parser.parse_overrides([f"{key}={value}" for key, value in knobs.items()])
        config = self.composed([*fixed, f"regularizer={option}"])
        return [knob(self.overrides.get(override.key_or_group, override), config) for override in mine]

    def composed(self, job: Sequence[str]) -> DictConfig:
        """The config of a job."""
        config: DictConfig = self.hydra_context.config_loader.load_sweep_config(self.config, list(job))
        return config

    def acts(self, fixed: Sequence[str], option: str, override: Override) -> bool:
        """Whether a key has a meaning with this option of `regularizer`: one of another technique's has none."""
        group, name, *below = [*override.key_or_group.split("."), ""]
        if group != "regularizer" or not any(below):
            return True
        return name in chosen(self.composed([*fixed, f"regularizer={option}"]).regularizer)

    def beside(self, suffix: str) -> list[str]:
        """What puts a job into a study of its own, ``<study><suffix>``, in the folder beside that of this one."""
        return [
            f"study={written(f'{self.config.study}{suffix}')}",
            f"hydra.sweep.dir={written(f'{self.config.hydra.sweep.dir}{suffix}')}",
        ]

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


def repeats(repeated: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """The overrides of each run that one mean is of: every seed on every split."""
    return [[f"{k}={v}" for k, v in zip(repeated, values, strict=True)] for values in product(*repeated.values())]


def say(sentence: str) -> None:
    """Once."""
    if leads():
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
    return bare(value)


def bare(key: str) -> str:
    """A key without the signs by which Hydra adds it."""
    return key.lstrip("+")


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


def _watched(config: DictConfig) -> Mapping[str, Scale]:
    """The metrics by which epochs can be chosen."""
    if not config.measure:
        return SCALES
    from ..compose.measures import build_measures, watched  # with torch, which sweepers do without else

    return watched(build_measures(config.measure))
