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
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from ..errors import UserError
from .base import StudySweeper, suggest, whole

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


class SearchSweeper(StudySweeper):
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
        super().__init__(params)
        self.trials, self.together = whole("trials", trials), whole("together", together)
        self.techniques, self.prune, self.sampler_seed = list(techniques or ()), prune, sampler_seed

    def sweep(self, arguments: list[str]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of the group argument
        fixed, searched, seeds = self.given(arguments)
        if not searched and not self.techniques:
            raise UserError(
                "hydra/sweeper=search has nothing to search: give hydra.sweeper.techniques, or a key with "
                "interval(a,b) or choice(a,b), such as 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        study = self._study(self.folder)
        while (left := self.trials - _finished(study)) > 0:
            batch = [self._candidate(study.ask(), fixed, searched) for _ in range(min(left, self.together))]
            self._train(study, batch, seeds)
        self._tell(study)

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
        own = [suggest(trial, override) for override in searched]
        chosen = []
        for group in self.techniques:
            option = trial.suggest_categorical("/".join(group), [NONE, *group])
            if option == NONE:
                continue
            chosen.append(option)
            knobs = self.parser.parse_overrides([f"{key}={value}" for key, value in group[option].items()])
            own += [suggest(trial, knob) for knob in knobs]
        techniques = [f"regularizer=[{','.join(chosen)}]" if chosen else "regularizer=none"] if self.techniques else []
        return Candidate(trial, [*fixed, *techniques, *own])

    def _train(self, study: "Study", batch: list[Candidate], seeds: Sequence[int]) -> None:
        """All of the batch on the first seed, those that are worth it on all others at once."""
        from optuna.trial import TrialState

        for step, some in enumerate(filter(None, (seeds[:1], seeds[1:]))):
            jobs = [[*candidate.overrides, f"seed={seed}"] for candidate in batch for seed in some]
            results = iter(self.launch(jobs))
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

    def _tell(self, study: "Study") -> None:
        from optuna.trial import TrialState

        counts = {state: len(study.get_trials(states=[state])) for state in (TrialState.COMPLETE, TrialState.PRUNED)}
        print(f"search: {counts[TrialState.COMPLETE]} trials complete, {counts[TrialState.PRUNED]} pruned")
        if counts[TrialState.COMPLETE]:
            best = study.best_trial
            OmegaConf.save({"value": best.value, "params": dict(best.params)}, self.folder / "search.yaml")
            chosen = " ".join(f"{key}={value}" for key, value in best.params.items() if value != NONE)
            print(f"search: best {self.config.monitor} {best.value:.4g}: {chosen}")


def _finished(study: "Study") -> int:
    """Trials that count: those that failed too, but not those that were cut off and are drawn again."""
    finished = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    return finished - sum(name.startswith(CUT_OFF) for name in study.user_attrs)
