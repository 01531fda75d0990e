"""`hydra/sweeper=search`: which techniques are on, and how strong each is, searched together by Optuna.

The joint search over a cocktail of regularizers is that of Kadra et al. 2021 (Well-tuned simple nets excel on tabular
datasets). A trial is one choice of techniques and numbers, trained on several seeds: seeds are averaged, never chosen.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import Override

from ..core.errors import UserError
from .base import StudySweeper, flag, knobs_of, say, suggest, whole

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage

Group = Mapping[str, Mapping[str, str]]  # techniques, of which at most one is on, with their knobs and where to search
NONE = "none"


@dataclass
class Candidate:
    """A trial that is being trained: its overrides, and its score on each seed so far."""

    trial: "Trial"
    overrides: list[str]
    scores: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return fmean(self.scores)


class SearchSweeper(StudySweeper):
    """Asks Optuna for `together` trials at a time, trains them seed by seed, drops the hopeless ones, tells the rest.

    The search space: every sweep on the command line (``optimizer.lr=tag(log,interval(1e-4,1e-2))``,
    ``model.norm=choice(none,batch)``), those in `params`, and `techniques`. Draws follow from `sampler_seed` and the
    scores so far: the same command draws the same trials again, finds their runs finished, and goes on after a kill;
    a larger `trials` continues the search. Another space is another search, which shares what runs it can.

    Args:
        trials: in all.
        together: trials that are trained at the same time; they are drawn before any of them is known.
        techniques: groups of options of `regularizer`, of which at most one is on, each with its knobs.
            ``regularizer=none,l2`` on the command line leaves these; a knob there replaces that of the group.
        params: other keys and where to search.
        prune: drops a trial, before its other seeds are trained, that is worse so far than the median of the others.
        sampler_seed: of Optuna's sampler.
        storage: a journal file, or the URL of a database, in which Optuna keeps the trials for others to look at, such
            as its dashboard. The search itself reads nothing there, and writes its study anew each time.
    """

    def __init__(
        self,
        trials: int = 40,
        together: int = 8,
        techniques: Sequence[Group] = (),
        params: Mapping[str, str] | None = None,
        prune: bool = True,
        sampler_seed: int = 0,
        storage: str | None = None,
    ) -> None:
        super().__init__(params)
        self.trials, self.together = whole("trials", trials), whole("together", together)
        self.storage = storage
        self.prune, self.sampler_seed = flag("prune", prune), whole("sampler_seed", sampler_seed, 0)
        if isinstance(techniques, str) or not isinstance(techniques, Sequence | None):
            raise UserError(f"hydra.sweeper.techniques={techniques} must be a list of groups of regularizers")
        if not isinstance(storage, str | None):
            raise UserError(f"hydra.sweeper.storage={storage} must be a file or the URL of a database")
        self.techniques = [knobs_of("techniques", group) for group in techniques or ()]

    def planned(self, arguments: Sequence[str]) -> list[list[list[str]]]:
        fixed, searched, groups, seeds = self._space(arguments)
        self._check(fixed, searched, groups)
        study = _random_study()
        trials = [self._candidate(study.ask(), fixed, searched, groups).overrides for _ in range(self.trials)]
        batches = [trials[i : i + self.together] for i in range(0, len(trials), self.together)]
        steps = list(filter(None, (seeds[:1], seeds[1:])))  # see `_train`
        return [[[*own, f"seed={seed}"] for own in some for seed in step] for some in batches for step in steps]

    def sweep(self, arguments: list[str]) -> None:
        fixed, searched, groups, seeds = self._space(arguments)
        study = self._study()
        self._check(fixed, searched, groups)
        found: list[Candidate] = []
        while (left := self.trials - len(found)) > 0:
            batch = [self._candidate(study.ask(), fixed, searched, groups) for _ in range(min(left, self.together))]
            self._train(study, batch, seeds)
            found += batch
        self._tell(found, fixed, len(seeds))

    def _space(
        self, arguments: Sequence[str]
    ) -> tuple[list[str], list[Override], list[dict[str, list[Override]]], list[int]]:
        """What all runs share, the searched keys, the groups of techniques, and the seeds."""
        knobs = {key for group in self.techniques for own in group.values() for key in own}
        fixed, searched, seeds = self.sorted_out(arguments, {"regularizer", *knobs} if self.techniques else ())
        groups = self._groups()
        if not searched and not groups:
            raise UserError(
                "hydra/sweeper=search has nothing to search: give hydra.sweeper.techniques, or a key with "
                "interval(a,b) or choice(a,b), such as 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
            )
        return fixed, searched, groups, seeds

    def _groups(self) -> list[dict[str, list[Override]]]:
        """The groups that the command line leaves, their knobs as overrides."""
        if not self.techniques:
            return []
        left = self.options([NONE, *(name for group in self.techniques for name in group)])
        groups = [{name: self.space(knobs) for name, knobs in g.items() if name in left} for g in self.techniques]
        return list(filter(None, groups))

    def _study(self) -> "Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of the group argument
        return optuna.create_study(
            storage=self._kept(),
            study_name=None if self.storage is None else self.config.study,
            direction="maximize" if self.config.mode == "max" else "minimize",
            sampler=optuna.samplers.TPESampler(seed=self.sampler_seed, multivariate=True, group=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=self.together),
        )

    def _kept(self) -> "BaseStorage | None":
        """The storage, without what it holds of an earlier study of this name."""
        if self.storage is None:
            return None
        import optuna
        from optuna.storages import JournalStorage, get_storage
        from optuna.storages.journal import JournalFileBackend

        try:
            url = "://" in self.storage
            storage = get_storage(self.storage if url else JournalStorage(JournalFileBackend(self.storage)))
            with suppress(KeyError):  # there is none
                optuna.delete_study(study_name=self.config.study, storage=storage)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"hydra.sweeper.storage={self.storage} cannot be used ({reason})") from error
        return storage

    def _check(
        self, fixed: Sequence[str], searched: Sequence[Override], groups: Sequence[dict[str, list[Override]]]
    ) -> None:
        """Composes every technique once, as its first trial may come late in the search."""
        study = _random_study()
        options = [([f"regularizer={name}"], knobs) for group in groups for name, knobs in group.items()]
        jobs = []
        for technique, knobs in options or [([], [])]:
            trial = study.ask()
            jobs.append([*fixed, *technique, *(suggest(trial, override) for override in (*searched, *knobs))])
        self.validate_batch_is_legal(jobs)

    def _candidate(
        self,
        trial: "Trial",
        fixed: Sequence[str],
        searched: Sequence[Override],
        groups: Sequence[dict[str, list[Override]]],
    ) -> Candidate:
        own = [suggest(trial, override) for override in searched]
        chosen = []
        for group in groups:
            option = trial.suggest_categorical("/".join(group), [NONE, *group])
            if option != NONE:
                chosen.append(option)
                own += [suggest(trial, knob, option) for knob in group[option]]
        techniques = [f"regularizer=[{','.join(chosen)}]" if chosen else "regularizer=none"] if self.techniques else []
        return Candidate(trial, [*fixed, *techniques, *own])

    def _train(self, study: "Study", batch: Sequence[Candidate], seeds: Sequence[int]) -> None:
        """All of the batch on the first seed, those that are worth it on all others at once."""
        from optuna.trial import TrialState

        for step, some in enumerate(filter(None, (seeds[:1], seeds[1:]))):
            runs = iter(self.launch([[*candidate.overrides, f"seed={seed}"] for candidate in batch for seed in some]))
            for candidate in batch:
                candidate.scores += [self.score(next(runs)) for _ in some]
                candidate.trial.report(candidate.mean, step)
            hopeless = [c for c in batch if math.isnan(c.mean) or (len(c.scores) < len(seeds) and self._prunes(c))]
            for candidate in hopeless:  # the sampler learns from these too, also where a run diverged
                study.tell(candidate.trial, state=TrialState.PRUNED)
            batch = [candidate for candidate in batch if candidate not in hopeless]
        for candidate in batch:
            study.tell(candidate.trial, candidate.mean)

    def _prunes(self, candidate: Candidate) -> bool:
        return self.prune and candidate.trial.should_prune()

    def _tell(self, found: Sequence[Candidate], fixed: Sequence[str], seeds: int) -> None:
        broken = [candidate for candidate in found if math.isnan(candidate.mean)]
        complete = [candidate for candidate in found if candidate not in broken and len(candidate.scores) == seeds]
        pruned = len(found) - len(broken) - len(complete)
        told = f", {len(broken)} failed or diverged" if broken else ""
        say(f"search: {len(complete)} trials complete, {pruned} pruned{told}")
        if (place := self.best([candidate.mean for candidate in complete])) is not None:
            best = complete[place]
            say(f"search: best {self.config.monitor} {best.mean:.4g}: {' '.join(best.overrides[len(fixed) :])}")


def _random_study() -> "Study":
    """Draws that no score has moved."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
