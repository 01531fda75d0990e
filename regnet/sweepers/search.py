"""`hydra/sweeper=search`: which techniques are on, and how strong each is, searched together by Optuna.

The joint search over a cocktail of regularizers is that of Kadra et al. 2021 (Well-tuned simple nets excel on tabular
datasets). A trial is one choice of techniques and numbers, trained on several seeds: seeds are averaged, never chosen.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median_low
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import Override

from ..core.errors import UserError
from .base import StudySweeper, flag, knobs_of, repeats, say, whole
from .score import Score, best, mean, score_of
from .space import Knob, knob, strings

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage

Group = Mapping[str, Mapping[str, str]]  # techniques, of which at most one is on, with their knobs and where to search
NONE = "none"
NOTHING = (math.inf, math.inf)  # the rank of no result
Options = Mapping[str, Sequence[Knob]]  # of `regularizer`, one of which is on


@dataclass
class Candidate:
    """A trial that is being trained: its overrides, and its score on each seed and split so far."""

    trial: "Trial"
    overrides: list[str]
    scores: list[Score] = field(default_factory=list)

    @property
    def mean(self) -> Score:
        return mean(self.scores)

    @property
    def first(self) -> tuple[float, float]:
        """The rank on the first seed and split, which all trials have; the last where nothing came of it."""
        return self.scores[0].rank if self.scores[0].is_known else NOTHING


@dataclass(frozen=True)
class Space:
    """What all trials share, what is searched in all of them alike, and groups of techniques with their own knobs.

    Args:
        chooses: whether a trial says which regularizers are on, be it none.
    """

    fixed: list[str]
    searched: list[Knob]
    groups: list[Options]
    chooses: bool

    def candidate(self, trial: "Trial") -> Candidate:
        own = [one.draw(trial) for one in self.searched]
        options = []
        for group in self.groups:
            name = "/".join(option for option in group if option != NONE)
            options.append(trial.suggest_categorical(name, list(group)))
            own += [one.draw(trial, options[-1]) for one in group[options[-1]]]
        return Candidate(trial, [*self.fixed, *(_techniques(options) if self.chooses else []), *own])


class SearchSweeper(StudySweeper):
    """Asks Optuna for `together` trials at a time, trains them on the first seed, drops the worse ones, tells the rest.

    The search space: every sweep on the command line (``optimizer.lr=tag(log,interval(1e-4,1e-2))``,
    ``model.norm=choice(none,batch)``), those in `params`, and `techniques`, or a sweep over ``regularizer``, beside
    which the knobs of a technique are drawn only for trials that have it. Draws follow from `sampler_seed` and the
    scores so far: the same command draws the same trials again, finds their runs finished, and goes on after a kill;
    a larger `trials` continues the search. Another space is another search, which shares what runs it can.

    Args:
        trials: in all.
        together: trials that are trained at the same time; they are drawn before any of them is known.
        techniques: groups of options of `regularizer`, of which at most one is on, each with its knobs.
            ``regularizer=none,l2`` on the command line leaves these, and ``regularizer=l2`` this one in every trial; a
            knob there replaces that of the group.
        params: other keys and where to search.
        prune: drops a trial, after its first seed and split, that is worse there than the median of all trials so far,
            dropped or not; of the first `together` none.
        sampler_seed: of Optuna's sampler.
        storage: a journal file, or the URL of a database, in which Optuna keeps the trials for others to look at, such
            as its dashboard. The search itself reads nothing there, and writes its study anew each time. Less is better
            there: of an accuracy it has the negative.
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
        space, again = self._space(arguments)
        self._check(space)
        study = _random_study()
        trials = [space.candidate(study.ask()).overrides for _ in range(self.trials)]
        batches = [trials[i : i + self.together] for i in range(0, len(trials), self.together)]
        return [[[*own, *run] for own in some for run in step] for some in batches for step in _steps(again)]

    def sweep(self, arguments: list[str]) -> None:
        space, again = self._space(arguments)
        study = self._study()
        self._check(space)
        found: list[Candidate] = []
        while (left := self.trials - len(found)) > 0:
            batch = [space.candidate(study.ask()) for _ in range(min(left, self.together))]
            self._train(study, batch, found, again)
            found += batch
        self._tell(found, space.fixed, len(again))

    def _space(self, arguments: Sequence[str]) -> tuple[Space, list[list[str]]]:
        """Where is searched, and seed and split of the runs that the mean of a trial is of."""
        knobs = {key for group in self.techniques for own in group.values() for key in own}
        fixed, swept, repeated = self.sorted_out(arguments, {"regularizer", *knobs} if self.techniques else ())
        groups = self._groups(fixed) if self.techniques else self._swept_group(fixed, swept)
        space = Space(fixed, self._general(fixed, swept, groups), groups, bool(self.techniques or groups))
        if not space.searched and not space.groups:
            raise UserError(
                "hydra/sweeper=search has nothing to search: give hydra.sweeper.techniques, or a key with "
                "interval(a,b) or choice(a,b), such as 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
            )
        return space, repeats(repeated)

    def _groups(self, fixed: Sequence[str]) -> list[Options]:
        """The groups that the command line leaves; each may be off, unless one technique or another was asked for."""
        left = self.options([NONE, *(name for group in self.techniques for name in group)])
        kept = [{name: knobs for name, knobs in group.items() if name in left} for group in self.techniques]
        groups: list[Options] = [{n: self.space(fixed, n, own) for n, own in group.items()} for group in kept if group]
        return [{NONE: [], **group} for group in groups] if NONE in left or len(groups) > 1 else groups

    def _swept_group(self, fixed: Sequence[str], swept: Sequence[Override]) -> list[Options]:
        """The values of a swept ``regularizer``, each with those of the swept keys that only it has a meaning for."""
        options = next((strings(override) for override in swept if override.key_or_group == "regularizer"), [])
        of_techniques = [override for override in swept if _of_technique(override)]
        group = {
            option: [
                knob(override, self.composed([*fixed, f"regularizer={option}"]))
                for override in of_techniques
                if self.acts(fixed, option, override)
            ]
            for option in options
        }
        return [group] if group else []

    def _general(self, fixed: Sequence[str], swept: Sequence[Override], groups: Sequence[Options]) -> list[Knob]:
        """What is searched in all trials alike."""
        if groups:
            swept = [o for o in swept if o.key_or_group != "regularizer" and (self.techniques or not _of_technique(o))]
        config = self.composed([*fixed, *(_techniques(list(groups[0])[-1:]) if groups else [])])
        return [knob(override, config) for override in swept]

    def _study(self) -> "Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of the group argument
        return optuna.create_study(
            storage=self._kept(),
            study_name=None if self.storage is None else self.config.study,
            direction="minimize",
            sampler=optuna.samplers.TPESampler(seed=self.sampler_seed, multivariate=True, group=True),
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

    def _check(self, space: Space) -> None:
        """Composes every technique once, as its first trial may come late in the search."""
        study = _random_study()
        options = [(_techniques([name]), knobs) for group in space.groups for name, knobs in group.items()]
        jobs = []
        for technique, knobs in options or [([], [])]:
            trial = study.ask()
            jobs.append([*space.fixed, *technique, *(one.draw(trial) for one in (*space.searched, *knobs))])
        self.validate_batch_is_legal(jobs)

    def _train(
        self, study: "Study", batch: Sequence[Candidate], before: Sequence[Candidate], again: Sequence[Sequence[str]]
    ) -> None:
        """All of the batch on the first seed and split, those that are worth it on all others at once."""
        from optuna.trial import TrialState

        for step, some in enumerate(_steps(again)):
            runs = iter(self.launch([[*candidate.overrides, *run] for candidate in batch for run in some]))
            for candidate in batch:
                candidate.scores += [score_of(next(runs)) for _ in some]
                candidate.trial.report(candidate.mean.cost, step)
            bar = self._bar([*before, *batch]) if before and len(candidate.scores) < len(again) else NOTHING
            hopeless = [c for c in batch if not c.mean.is_known or c.first > bar]
            for candidate in hopeless:  # the sampler learns from these too, also where a run diverged
                study.tell(candidate.trial, state=TrialState.PRUNED)
            batch = [candidate for candidate in batch if candidate not in hopeless]
        for candidate in batch:
            study.tell(candidate.trial, candidate.mean.cost)

    def _bar(self, trials: Sequence[Candidate]) -> tuple[float, float]:
        """The rank above which a trial gets no further seeds.

        It is of all trials. Among those that were kept the median would rise with each batch: of trials that are all as
        good it would soon drop four fifths.
        """
        return median_low(trial.first for trial in trials) if self.prune else NOTHING

    def _tell(self, found: Sequence[Candidate], fixed: Sequence[str], runs: int) -> None:
        broken = [candidate for candidate in found if not candidate.mean.is_known]
        complete = [candidate for candidate in found if candidate not in broken and len(candidate.scores) == runs]
        pruned = len(found) - len(broken) - len(complete)
        told = f", {len(broken)} failed or diverged" if broken else ""
        say(f"search: {len(complete)} trials complete, {pruned} pruned{told}")
        if (place := best([candidate.mean for candidate in complete])) is not None:
            trial, mean = complete[place], complete[place].mean
            say(f"search: best {mean.metric} {mean.value:.4g}: {' '.join(trial.overrides[len(fixed) :])}")


def _steps(again: Sequence[Sequence[str]]) -> list[Sequence[Sequence[str]]]:
    """The runs of a trial: the first seed and split, then all others."""
    return list(filter(None, (again[:1], again[1:])))


def _random_study() -> "Study":
    """Draws that no score has moved."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def _of_technique(override: Override) -> bool:
    return override.key_or_group.startswith("regularizer.")


def _techniques(options: Sequence[str]) -> list[str]:
    """The override that turns these on; ``[a,b]`` is an option of two."""
    on = [option.strip("[]") for option in options if option != NONE]
    return [f"regularizer=[{','.join(on)}]" if on else "regularizer=none"]
