"""`hydra/sweeper=tune`: techniques compared fairly, each with the same small budget to tune its own settings."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override

from ..core.errors import UserError
from ..core.processes import leads
from ..run.record import RecordedRun, find_runs
from .base import StudySweeper, knobs_of, repeats, say, whole
from .choices import move, settings_of
from .score import Score, best, score_of
from .space import knob

TUNING, EARLIER = "-tuning", "-earlier"
NUMBERS = 3  # fewer that were tried have an outermost one in any case


class TuneSweeper(StudySweeper):
    """Tunes every arm on the first seed with as many trials as the others, then trains its best on other seeds.

    A technique that is compared at a learning rate chosen for another one loses for that reason alone. So the
    nuisance parameters, in `params` and as sweeps on the command line, are tuned for each arm anew, together with the
    arm's own knobs, by quasi-random search (Deep Learning Tuning Playbook, "Why use quasi-random search"): the same
    number of trials, the same seed and split, chosen by validation. The seed of the tuning is not used again, nor its
    split where others are given, so that no arm profits from the luck of its own choice. The trials are in a study of
    their own, ``<study>-tuning``. Where more trials, or other ranges, make another choice, the runs of the one before
    go to ``<study>-earlier``: a report that found both would choose among them on the seeds of the comparison. They
    come back when they are chosen again.

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
        fixed, drawn, repeated = self._begin(arguments)
        arms = [trials[0] for trials in drawn.values()]
        comparison = [[*fixed, *own, *run] for own in arms for run in _others(repeated)]
        return [self._tuning(fixed, drawn, repeated), comparison]

    def sweep(self, arguments: list[str]) -> None:
        fixed, drawn, repeated = self._begin(arguments)
        runs = iter(self.launch(self._tuning(fixed, drawn, repeated)))
        chosen = [self._choice(arm, own, [score_of(next(runs)) for _ in own]) for arm, own in drawn.items()]
        if leads():
            used = {key: values[0] for key, values in repeated.items() if len(values) > 1}
            self._part([settings_of([*fixed, *own]) for own in chosen], settings_of(fixed), used)
        self.compare(fixed, chosen, _others(repeated))

    def compare(self, fixed: Sequence[str], arms: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> None:
        """Trains every arm, as its own overrides, on all other seeds and splits."""
        self.launch([[*fixed, *own, *run] for own in arms for run in others])

    def _begin(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, list[list[str]]], dict[str, list[int]]]:
        """What all runs share, the trials of each arm, and seeds and splits, the first of which tune."""
        knobs = {key for own in self.arms.values() for key in own}
        fixed, nuisance, repeated = self.sorted_out(arguments, apart={"regularizer", *knobs})
        if all(len(values) == 1 for values in repeated.values()):
            seed = repeated["seed"][0]
            raise UserError(f"seed={seed} is one only: the first tunes and the others compare; give seed=range(6)")
        return fixed, {arm: self._drawn(arm, fixed, nuisance) for arm in self.options(list(self.arms))}, repeated

    def _tuning(
        self, fixed: Sequence[str], drawn: Mapping[str, list[list[str]]], repeated: Mapping[str, list[int]]
    ) -> list[list[str]]:
        (first, *_) = repeats(repeated)
        beside = self.beside(TUNING)
        return [[*fixed, *own, *first, *beside] for trials in drawn.values() for own in trials]

    def _choice(self, arm: str, trials: Sequence[list[str]], scores: Sequence[Score]) -> list[str]:
        place = best(scores)
        if place is None:
            say(f"tune: {arm}: no trial completed, so it is trained as in the first")
            return trials[0]
        words = [f"{text}{_edge(text, [trial[i] for trial in trials])}" for i, text in enumerate(trials[place])]
        say(f"tune: {arm} {scores[place].metric} {scores[place].value:.4g}  {' '.join(words[1:])}")
        return trials[place]

    def _part(self, chosen: Sequence[Mapping[str, str]], fixed: Mapping[str, str], used: Mapping[str, int]) -> None:
        """Moves the runs of earlier choices out of the study, and those of the present ones back into it.

        An earlier choice is a run that has the settings of a trial of the tuning, and differs from one of the `chosen`
        in what was tuned only, or has the seed or split that was `used` to choose.
        """
        study, tuning, earlier = (Path(f"{self.config.hydra.sweep.dir}{suffix}") for suffix in ("", TUNING, EARLIER))
        arms = [({**fixed, "regularizer": own["regularizer"]}.items(), own.keys()) for own in chosen]
        tried = [settings_of(run.overrides) for run in find_runs(tuning)]

        def is_chosen(run: RecordedRun) -> bool:
            given = settings_of(run.overrides, ())
            return settings_of(run.overrides) in chosen and not any(given.get(k) == str(v) for k, v in used.items())

        def is_past(run: RecordedRun) -> bool:
            own = settings_of(run.overrides)
            of_arm = any(arm <= own.items() and own.keys() <= keys for arm, keys in arms)
            return of_arm and own in tried and not is_chosen(run)

        past = [move(run, study, earlier) for run in find_runs(study) if is_past(run)]
        back = [move(run, earlier, study) for run in find_runs(earlier) if is_chosen(run)]
        if moved := sum(past):
            say(f"tune: {moved} runs of earlier choices are now in {earlier}")
        if moved := sum(back):
            say(f"tune: {moved} runs that are chosen again are back from {earlier}")

    def _drawn(self, arm: str, fixed: Sequence[str], nuisance: Sequence[Override]) -> list[list[str]]:
        """The trials of an arm, as overrides; the arms' nuisance parameters are drawn alike."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of the sampler
        sampler = optuna.samplers.QMCSampler(
            qmc_type="halton", scramble=True, seed=0, warn_independent_sampling=False
        )  # of Sobol's points the first is a corner of the space, and a scramble moves each dimension with all others
        study = optuna.create_study(sampler=sampler)
        config = self.composed([*fixed, f"regularizer={arm}"])
        shared = [knob(override, config) for override in nuisance if self.acts(fixed, arm, override)]
        space = [*shared, *self.space(fixed, arm, self.arms[arm])]
        trials = []
        for _ in range(self.trials + 1):
            trial = study.ask()
            trials.append((f"regularizer={arm}", *(one.draw(trial) for one in space)))
            study.tell(trial, 0.0)
        # the first is drawn at random and shows Optuna the space; what has nothing to tune has one trial
        return [list(trial) for trial in dict.fromkeys(trials[1:])]


def _edge(chosen: str, tried: Sequence[str]) -> str:
    """Whether the chosen value is the outermost of the numbers that were tried. Zero is no edge downwards."""
    numbers = {_number(text) for text in tried}
    own = _number(chosen)
    if own is None or None in numbers or len(numbers) < NUMBERS:
        return ""
    known = sorted(number for number in numbers if number is not None)
    side = "largest" if own == known[-1] else "smallest" if own == known[0] != 0 else ""
    return f" (the {side} tried)" if side else ""


def _number(text: str) -> float | None:
    try:
        return float(text.partition("=")[2])
    except ValueError:
        return None


def _others(repeated: Mapping[str, list[int]]) -> list[list[str]]:
    """Seeds and splits without the first, on which the tuning is."""
    return repeats({key: values[1:] or values for key, values in repeated.items()})
