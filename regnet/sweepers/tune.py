"""`hydra/sweeper=tune`: techniques compared fairly, each with the same small budget to tune its own settings."""

import warnings
from collections.abc import Mapping
from typing import Any

from .base import StudySweeper, suggest, whole

SUFFIX = "-tuning"


class TuneSweeper(StudySweeper):
    """Tunes every arm on the first seed with as many trials as the others, then trains its best on all other seeds.

    A technique that is compared at a learning rate chosen for another one loses for that reason alone. So the
    nuisance parameters, in `params` and as sweeps on the command line, are tuned for each arm anew, together with the
    arm's own knobs, by quasi-random search (Deep Learning Tuning Playbook, "Why use quasi-random search"): the same
    number of trials, the same seed and split, chosen by validation. The seed of the tuning is not used again, so that
    no arm profits from the luck of its own choice. The trials are in a study of their own, ``<study>-tuning``.

    Args:
        arms: what is compared: a value of `regularizer`, and where to search its knobs.
        params: nuisance parameters and where to search.
        trials: for each arm.
    """

    def __init__(
        self, arms: Mapping[str, Mapping[str, str]], params: Mapping[str, str] | None = None, trials: int = 8
    ) -> None:
        super().__init__(params)
        self.arms, self.trials = dict(arms), whole("trials", trials)

    def sweep(self, arguments: list[str]) -> None:
        fixed, nuisance, seeds = self.given(arguments)
        first, rest = seeds[0], seeds[1:] or [seeds[0] + 1]
        candidates = {arm: self._drawn(arm, nuisance) for arm in self.arms}
        study = f"study={self.config.study}{SUFFIX}"
        results = iter(
            self.launch([[*fixed, *own, f"seed={first}", study] for drawn in candidates.values() for own in drawn])
        )
        chosen = {}
        for arm, drawn in candidates.items():
            scores = [float(next(results).return_value) for _ in drawn]
            chosen[arm] = drawn[self.best(scores)]
            print(f"tune: {arm} {self.config.monitor} {scores[self.best(scores)]:.4g}  {' '.join(chosen[arm][1:])}")
        self.launch([[*fixed, *own, f"seed={seed}"] for own in chosen.values() for seed in rest])

    def _drawn(self, arm: str, nuisance: list[Any]) -> list[list[str]]:
        """The trials of an arm, as overrides; the arms' nuisance parameters are drawn alike."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        knobs = self.parser.parse_overrides([f"{key}={value}" for key, value in (self.arms[arm] or {}).items()])
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of the sampler
        study = optuna.create_study(sampler=optuna.samplers.QMCSampler(seed=0, warn_independent_sampling=False))
        trials = []
        for _ in range(self.trials):
            trial = study.ask()
            trials.append([f"regularizer={arm}", *(suggest(trial, o) for o in (*nuisance, *knobs))])
            study.tell(trial, 0.0)
        return list({tuple(one): one for one in trials}.values())
