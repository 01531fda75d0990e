"""The answer of a study: which is best, by how much, what is as good, and what to try next."""

from dataclasses import dataclass

from .compare import POWER, Comparison, compare
from .estimate import LEAST
from .family import ALPHA
from .protocol import too_short
from .study import Arm, Study, cost, short_keys

MOST = 200  # seeds: nobody would train more, so no greater number is suggested


@dataclass(frozen=True)
class Edge:
    """The best value of a swept key is the least or the greatest that was tried."""

    key: str
    value: str
    side: str  # "smallest" or "largest"


@dataclass(frozen=True)
class Answer:
    """`best` by validation, its `gain` over the baseline on test, and how the others compare with it.

    The others are the techniques at their chosen settings if `tuned`, else all arms. Of their comparisons with the
    best, `equivalent` are those within the margin, `unclear` those that are neither decided nor within it, the best of
    them first; `better` are the arms that test says are better, the baseline apart; `known` says whether all could be
    tested. `too_short` are those of the best and the baseline whose training was: then nothing is advised. `left_out`
    are others of which that is so: nothing is said of them.
    `passed_over` are arms with a better mean on validation that are not the best because runs of theirs are missing
    (`Study.best`). `seeds` is how many it would take to tell the best from `rival`, None where that is not known.
    """

    study: Study
    best: Arm
    baseline: Arm | None
    gain: Comparison | None
    tuned: bool
    known: bool
    equivalent: tuple[Comparison, ...]
    unclear: tuple[Comparison, ...]
    better: tuple[Arm, ...]
    too_short: tuple[Arm, ...]
    left_out: tuple[Arm, ...]
    passed_over: tuple[Arm, ...]
    edges: tuple[Edge, ...]
    rival: Comparison | None
    seeds: int | None

    @property
    def simplest(self) -> Arm:
        """The fewest regularizers among the `advisable`; of equal ones the best on validation."""
        return min(self.advisable, key=lambda arm: len(arm.active))

    @property
    def cheapest(self) -> Arm:
        """The fewest operations of training among the `advisable`."""
        return min(self.advisable, key=_operations)

    @property
    def advisable(self) -> tuple[Arm, ...]:
        """The best and what is as good, without arms that lost more runs than it."""
        alike = (other(pair, self.best) for pair in self.equivalent)
        return (self.best, *(arm for arm in alike if arm.lost <= self.best.lost))


def other(pair: Comparison, best: Arm) -> Arm:
    """The arm of the pair that is not the best."""
    return pair.baseline if pair.arm is best else pair.arm


def answer(study: Study, baseline: Arm | None = None) -> Answer | None:
    """The answer of a study; None where no run has a result.

    The gain is that of a comparison between techniques, each at the settings that validation chose
    (`Study.tuned`). So is what is as good where there are three techniques or more; else it is looked for among all
    arms.
    """
    best = study.best()
    if best is None:
        return None
    gain = None
    if baseline is not None and baseline is not best:
        gain = next(pair for pair in compare(study.tuned(baseline), baseline) if pair.arm is best)
    techniques = len({arm.technique for arm in study.arms})
    among = study.tuned(*[baseline] if baseline else []) if techniques > 2 else study
    found = compare(among, best)
    # The gain has named the baseline already.
    pairs = [gain if gain and pair.arm is baseline else pair for pair in found]
    fair = [pair for pair in pairs if not pair.too_short]
    unclear = [pair for pair in fair if _unclear(pair)]
    rival = next((pair for pair in unclear if pair is gain), unclear[0] if unclear else None)
    return Answer(
        study=study,
        best=best,
        baseline=baseline,
        gain=gain,
        tuned=len(among.arms) < len(study.arms),
        known=all(pair.interval is not None for pair in found),
        equivalent=tuple(pair for pair in fair if pair.equivalent),
        unclear=tuple(unclear),
        better=tuple(pair.arm for pair in fair if pair.arm is not best and _better(pair)),
        too_short=tuple(arm for arm in study.arms if (arm is best or arm is baseline) and too_short(arm)),
        left_out=tuple(arm for arm in among.arms if arm is not best and arm is not baseline and too_short(arm)),
        passed_over=tuple(arm for arm in study.arms if cost(arm, study.metric) < cost(best, study.metric)),
        edges=edges(study, best),
        rival=rival,
        seeds=_seeds_needed(rival),
    )


def edges(study: Study, best: Arm) -> tuple[Edge, ...]:
    """The swept numeric keys of which the best arm has an outermost value, among arms that differ in that key only.

    Zero is no edge downwards: strengths and rates end there. Nor is the outermost value an edge where another one is as
    good. The draws of a search differ in every key, and so have no edges.
    """
    found = []
    names = short_keys(key for key in best.settings if len({arm.settings.get(key) for arm in study.arms}) > 1)
    for key, name in names.items():
        others = [arm for arm in study.arms if _without(arm, key) == _without(best, key)]
        known = (_number(arm.settings.get(key)) for arm in others if arm.values("val", study.metric))
        numbers = {number for number in known if number is not None}
        own = _number(best.settings[key])
        if own is None or len(numbers) < 2 or own not in (min(numbers), max(numbers)):
            continue
        if any(arm in study.ties and arm.settings[key] != best.settings[key] for arm in others):
            continue
        side = "smallest" if own == min(numbers) else "largest"
        if not (side == "smallest" and own == 0):
            found.append(Edge(name, best.settings[key], side))
    return tuple(found)


def _without(arm: Arm, key: str) -> dict[str, str]:
    return {name: value for name, value in arm.settings.items() if name != key}


def _unclear(pair: Comparison) -> bool:
    tested = pair.gain is not None and pair.gain.n >= LEAST
    return tested and not pair.distinguishable and not pair.equivalent


def _better(pair: Comparison) -> bool:
    return pair.gain is not None and pair.decided and pair.gain.mean > 0 and not pair.equivalent


def _seeds_needed(rival: Comparison | None) -> int | None:
    if rival is None or rival.gain is None:
        return None
    return rival.gain.needed(ALPHA / rival.family, POWER, MOST)


def _operations(arm: Arm) -> float:
    return float("inf") if arm.operations is None else arm.operations


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
