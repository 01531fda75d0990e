"""`hydra/sweeper=search`: which techniques are on, and how strong each is, searched together by Optuna.

The joint search over a cocktail of regularizers is that of Kadra et al. 2021 (Well-tuned simple nets excel on tabular
datasets). A trial is one choice of techniques and numbers, trained on several seeds: seeds are averaged, never chosen.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from ..errors import UserError

if TYPE_CHECKING:
    from optuna import Study, Trial

Group = Mapping[str, Mapping[str, str]]  # techniques of which at most one is on: their knobs and where to search
NONE = "none"
CUT_OFF = "cut off"


@dataclass
class Candidate:
    """A trial that is being trained: its overrides, and its score on each seed so far."""

    trial: "Trial"
    overrides: list[str]
    scores: list[float] = field(default_factory=list)


class SearchSweeper(Sweeper):
    """Asks Optuna for `together` trials at a time, trains them seed by seed, drops the hopeless ones, tells the rest.

    The search space: every sweep on the command line (``optimizer.lr=tag(log,interval(1e-4,1e-2))``,
    ``model.norm=choice(none,batch)``), those in `params`, and `techniques`. What was learned is kept in the study's
    folder after each trial: the same command goes on after a kill, and a larger `trials` continues the search.

    Args:
        trials: in all.
        together: trials that are trained at the same time; they are drawn before any of them is known.
        techniques: groups of options of `regularizer`, of which at most one is on, each with its knobs.
        params: other keys and where to search.
        prune: drops a trial, before its other seeds are trained, that is worse so far than the median of the others.
        sampler_seed: of Optuna's sampler.
    """

    def __init__(
        self,
        trials: int = 40,
        together: int = 8,
        techniques: Sequence[Group] = (),
        params: Mapping[str, str] | None = None,
        prune: bool = True,
        sampler_seed: int = 0,
    ) -> None:
        self.trials, self.together, self.prune, self.sampler_seed = trials, together, prune, sampler_seed
        self.techniques, self.params = list(techniques or ()), dict(params or {})
        self.jobs = 0

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        for name in ("trials", "together"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"hydra.sweeper.{name}={value} must be a whole number >= 1")
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)

    def sweep(self, arguments: list[str]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of the group argument
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        fixed, searched, seeds = self._space(arguments)
        study = self._study(folder)
        while (left := self.trials - _finished(study)) > 0:
            batch = [self._candidate(study.ask(), fixed, searched) for _ in range(min(left, self.together))]
            self._train(study, batch, seeds)
        self._tell(study, folder)

    def _space(self, arguments: Sequence[str]) -> tuple[list[str], list[Override], list[int]]:
        """The overrides that are the same for all trials, those to search, and the seeds."""
        given = [f"{key}={value}" for key, value in self.params.items()]
        overrides = self.parser.parse_overrides([*given, *arguments])
        seeds = [0]
        fixed, searched = [], []
        for override in {o.key_or_group: o for o in overrides}.values():
            if override.key_or_group == "seed":
                seeds = seeds_of(override)
            elif override.is_sweep_override():
                searched.append(override)
            else:
                fixed.append(override.input_line)
        if not searched and not self.techniques:
            raise UserError(
                "hydra/sweeper=search has nothing to search: give hydra.sweeper.techniques, or a key with "
                "interval(a,b) or choice(a,b), such as 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
            )
        return fixed, searched, seeds

    def _study(self, folder: Path) -> "Study":
        """The search so far; trials that were cut off are drawn again."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
        from optuna.trial import TrialState

        study = optuna.create_study(
            study_name="search",
            storage=JournalStorage(JournalFileBackend(str(folder / "search.log"))),
            load_if_exists=True,
            direction="minimize" if self.config.mode == "min" else "maximize",
            sampler=optuna.samplers.TPESampler(seed=self.sampler_seed, multivariate=True, group=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=self.together) if self.prune else None,
        )
        if study.trials:
            study.sampler.reseed_rng()  # other draws than those of the trials before
        for trial in study.get_trials(states=[TrialState.RUNNING]):
            study.enqueue_trial(trial.params)
            study.set_user_attr(f"{CUT_OFF} {trial.number}", True)
            study.tell(trial.number, state=TrialState.FAIL)
        return study

    def _candidate(self, trial: "Trial", fixed: Sequence[str], searched: Sequence[Override]) -> Candidate:
        own = [f"{override.get_key_element()}={_suggest(trial, override)}" for override in searched]
        chosen = []
        for group in self.techniques:
            option = trial.suggest_categorical("/".join(group), [NONE, *group])
            if option == NONE:
                continue
            chosen.append(option)
            for override in self.parser.parse_overrides([f"{k}={v}" for k, v in (group[option] or {}).items()]):
                own.append(f"{override.get_key_element()}={_suggest(trial, override)}")
        techniques = [f"regularizer=[{','.join(chosen)}]" if chosen else "regularizer=none"] if self.techniques else []
        return Candidate(trial, [*fixed, *techniques, *own])

    def _train(self, study: "Study", batch: list[Candidate], seeds: Sequence[int]) -> None:
        """All of the batch on the first seed, those that are worth it on all others at once."""
        from optuna.trial import TrialState

        for step, some in enumerate(filter(None, (seeds[:1], seeds[1:]))):
            jobs = [[*candidate.overrides, f"seed={seed}"] for candidate in batch for seed in some]
            self.validate_batch_is_legal(jobs)
            results = iter(self.launcher.launch(jobs, initial_job_idx=self.jobs))
            self.jobs += len(jobs)
            alive = []
            for candidate in batch:
                candidate.scores += [float(next(results).return_value) for _ in some]
                score = fmean(candidate.scores)
                if not math.isfinite(score):  # it failed or diverged on a seed, as its record tells
                    study.tell(candidate.trial, state=TrialState.FAIL)
                    continue
                candidate.trial.report(score, step)
                if len(candidate.scores) < len(seeds) and candidate.trial.should_prune():
                    study.tell(candidate.trial, state=TrialState.PRUNED)
                    continue
                alive.append(candidate)
            batch = alive
        for candidate in batch:
            study.tell(candidate.trial, fmean(candidate.scores))

    def _tell(self, study: "Study", folder: Path) -> None:
        from optuna.trial import TrialState

        counts = {state: len(study.get_trials(states=[state])) for state in (TrialState.COMPLETE, TrialState.PRUNED)}
        print(f"search: {counts[TrialState.COMPLETE]} trials complete, {counts[TrialState.PRUNED]} pruned")
        if counts[TrialState.COMPLETE]:
            best = study.best_trial
            OmegaConf.save({"value": best.value, "params": dict(best.params)}, folder / "search.yaml")
            chosen = " ".join(f"{key}={value}" for key, value in best.params.items() if value != NONE)
            print(f"search: best {self.config.monitor} {best.value:.4g}: {chosen}")


def _finished(study: "Study") -> int:
    """Trials that count: those that failed too, but not those that were cut off and are drawn again."""
    finished = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    return finished - sum(name.startswith(CUT_OFF) for name in study.user_attrs)


def seeds_of(override: Override) -> list[int]:
    values = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    if not all(isinstance(value, int) and value >= 0 for value in values):
        raise UserError(f"{override.input_line}: seeds are averaged, not searched; give them as seed=range(3)")
    return values


def _suggest(trial: "Trial", override: Override) -> Any:
    """Optuna's draw for a sweep of Hydra's; numbers to four digits, so that a run's folder can be read."""
    name, sweep = override.key_or_group, override.value()
    if isinstance(sweep, IntervalSweep):
        log = "log" in sweep.tags
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return trial.suggest_int(name, sweep.start, sweep.end, log=log)
        return float(f"{trial.suggest_float(name, float(sweep.start), float(sweep.end), log=log):.4g}")
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        return trial.suggest_categorical(name, list(override.sweep_string_iterator()))
    raise UserError(
        f"{override.input_line} is no range to search: write interval(a,b), tag(log,interval(a,b)) or choice(a,b)"
    )
