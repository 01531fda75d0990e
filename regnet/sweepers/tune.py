"""`hydra/sweeper=tune`: techniques compared fairly, each with the same small budget to tune its own settings."""

import warnings
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.types import Override

from ..core.errors import UserError
from .base import StudySweeper, knobs_of, say, suggest, whole

SUFFIX = "-tuning"


class TuneSweeper(StudySweeper):
    """Tunes every arm on the first seed with as many trials as the others, then trains its best on all other seeds.

    A technique that is compared at a learning rate chosen for another one loses for that reason alone. So the
    nuisance parameters, in `params` and as sweeps on the command line, are tuned for each arm anew, together with the
    arm's own knobs, by quasi-random search (Deep Learning Tuning Playbook, "Why use quasi-random search"): the same
    number of trials, the same seed and split, chosen by validation. The seed of the tuning is not used again, so that
    no arm profits from the luck of its own choice. The trials are in a study of their own, ``<study>-tuning``.

    Args:
        arms: what is compared: a value of `regularizer`, and where to search its knobs. ``regularizer=none,l2`` on the
            command line leaves these two; a knob on the command line has its value or range from there.
        params: nuisance parameters and where to search.
        trials: for each arm.
    """

    def __init__(
        self, arms: Mapping[str, Mapping[str, str]], params: Mapping[str, str] | None = None, trials: int = 8
    ) -> None:
        super().__init__(params)
        self.arms, self.trials = knobs_of("arms", arms), whole("trials", trials)

    def planned(self, arguments: Sequence[str]) -> list[list[list[str]]]:
        fixed, drawn, first, rest = self._begin(arguments)
        arms = [trials[0] for trials in drawn.values()]
        return [self._tuning(fixed, drawn, first), [[*fixed, *own, f"seed={seed}"] for own in arms for seed in rest]]

    def sweep(self, arguments: list[str]) -> None:
        fixed, drawn, first, rest = self._begin(arguments)
        runs = iter(self.launch(self._tuning(fixed, drawn, first)))
        chosen = []
        for arm, trials in drawn.items():
            scores = [self.score(next(runs)) for _ in trials]
            best = self.best(scores)
            if best is None:
                say(f"tune: {arm}: no trial completed, so it is trained as in the first")
            else:
                say(f"tune: {arm} {self.config.monitor} {scores[best]:.4g}  {' '.join(trials[best][1:])}")
            chosen.append(trials[best or 0])
        self.launch([[*fixed, *own, f"seed={seed}"] for own in chosen for seed in rest])

    def _begin(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, list[list[str]]], int, list[int]]:
        """What all runs share, the trials of each arm, the seed that tunes and those that compare."""
        knobs = {key for own in self.arms.values() for key in own}
        fixed, nuisance, (first, *rest) = self.sorted_out(arguments, apart={"regularizer", *knobs})
        if not rest:
            raise UserError(f"seed={first} is one only: the first tunes and the others compare; give seed=range(6)")
        drawn = {arm: self._drawn(arm, nuisance) for arm in self.options(list(self.arms))}
        return fixed, drawn, first, rest

    def _tuning(self, fixed: list[str], drawn: Mapping[str, list[list[str]]], seed: int) -> list[list[str]]:
        study = f"study={self.config.study}{SUFFIX}"
        return [[*fixed, *own, f"seed={seed}", study] for trials in drawn.values() for own in trials]

    def _drawn(self, arm: str, nuisance: list[Override]) -> list[list[str]]:
        """The trials of an arm, as overrides; the arms' nuisance parameters are drawn alike."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of the sampler
        sampler = optuna.samplers.QMCSampler(
            qmc_type="halton", scramble=True, seed=0, warn_independent_sampling=False
        )  # of Sobol's points the first is a corner of the space, and a scramble moves each dimension with all others
        study = optuna.create_study(sampler=sampler)
        space = [*nuisance, *self.space(self.arms[arm])]
        trials = []
        for _ in range(self.trials + 1):
            trial = study.ask()
            trials.append((f"regularizer={arm}", *(suggest(trial, override) for override in space)))
            study.tell(trial, 0.0)
        # the first is drawn at random and shows Optuna the space; what has nothing to tune has one trial
        return [list(trial) for trial in dict.fromkeys(trials[1:])]
