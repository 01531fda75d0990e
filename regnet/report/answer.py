"""The answer of a study: which is best, by how much, what is as good, and what to try next."""

from dataclasses import dataclass

from .compare import ALPHA, Comparison, compare
from .statistics import seeds_needed
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
    """`best` by validation; its `gain` over the baseline on test; the arms `alike`, the best of them first.

    `alike` are those that the test split does not tell from the best, `better` those that it says are better, the
    baseline apart, both among the techniques at their chosen settings if `tuned`; `known` says whether all of these
    could be tested. `passed_over` are those with a better mean on validation that are not the best because runs of
    theirs are missing (`Study.best`). `seeds` is how many it would take to tell the best from `rival`, None where
    that is not known.
    """

    study: Study
    best: Arm
    baseline: Arm | None
    gain: Comparison | None
    tuned: bool
    known: bool
    alike: tuple[Arm, ...]
    better: tuple[Arm, ...]
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
        """The best and what is alike, without arms that lost more runs than it."""
        return (self.best, *(arm for arm in self.alike if arm.lost <= self.best.lost))


def answer(study: Study, baseline: Arm | None = None) -> Answer | None:
    """The answer of a study; None where no run has a result.

    The gain is that of a comparison between techniques, each at the settings that validation chose
    (`Study.tuned`). So is what is alike where there are three techniques or more; else it is looked for among all arms.
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
    pairs = {pair.arm.label: pair for pair in found} | ({baseline.label: gain} if baseline and gain else {})
    others = [arm for arm in among.arms if arm is not best]
    unclear = [arm for arm in others if _unclear(pairs[arm.label])]
    better = [arm for arm in others if arm is not baseline and _better(pairs[arm.label])]
    passed_over = [arm for arm in study.arms if cost(arm, study.metric) < cost(best, study.metric)]
    rival = gain if gain and _unclear(gain) else pairs[unclear[0].label] if unclear else None
    return Answer(
        study=study,
        best=best,
        baseline=baseline,
        gain=gain,
        tuned=len(among.arms) < len(study.arms),
        known=all(pair.p is not None for pair in found),
        alike=tuple(unclear),
        better=tuple(better),
        passed_over=tuple(passed_over),
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
    return pair.p is not None and not pair.distinguishable


def _better(pair: Comparison) -> bool:
    return pair.interval is not None and pair.distinguishable and pair.interval[0] > 0


def _seeds_needed(rival: Comparison | None) -> int | None:
    # Bonferroni's α: what Holm asks of the first of the family. The bias of Hedges' g is taken out already.
    if rival is None or not rival.effect:
        return None
    return seeds_needed(rival.effect, ALPHA / rival.family, most=MOST)


def _operations(arm: Arm) -> float:
    return float("inf") if arm.operations is None else arm.operations


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
