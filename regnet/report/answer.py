"""What a study says, in words: which is best, by how much, what is as good, and what to try next."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from .compare import ALPHA, Comparison, compare
from .statistics import seeds_needed
from .study import METRICS, Arm, Study, cost, short_keys

LISTED = 200  # letters of the names of arms in one sentence
MOST = 200  # seeds; how many more than that a difference needs is of no use to anyone
CHEAPER = 0.9  # of the best arm's seconds


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
        return min(self.advisable, key=_regularizers)

    @property
    def cheapest(self) -> Arm:
        """The fewest seconds a run among the `advisable`."""
        return min(self.advisable, key=_seconds)

    @property
    def advisable(self) -> tuple[Arm, ...]:
        """The best and what is alike, without arms that lost more runs than it."""
        return (self.best, *(arm for arm in self.alike if _lost(arm) <= _lost(self.best)))


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
    # What is told of the baseline is told once, by the gain.
    pairs = {pair.arm.label: pair for pair in found} | ({baseline.label: gain} if gain else {})
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


def sentences(found: Answer) -> list[str]:
    """The answer as short sentences, the most important first."""
    study, best = found.study, found.best
    alone = max(len(arm.measured("val", study.metric)) for arm in study.arms) < 2
    score = METRICS[study.metric] * cost(best, study.metric)
    lines = [f"Best by validation: {best.label} ({study.metric} {_value(score, study.metric)})."]
    if _lost(best):
        lines[0] += f" Only {_runs(best)} completed."
    if len(study.arms) == 1:
        lines[0] += " Nothing else was tried."
    elif found.baseline is best:
        lines.append("It is the baseline: validation chose nothing that was tried against it.")
    elif found.gain is not None:
        lines.append(_gained(found.gain))
        if found.gain.effect is not None:
            chance = f"a run of it beats one of {found.baseline.label} with probability {found.gain.improvement:.2f}"
            lines.append(f"Effect size (Hedges' g of the pairs) {found.gain.effect:+.1f}; {chance}.")
    if found.passed_over:
        named = _listed([f"{arm.label} ({_runs(arm)})" for arm in found.passed_over])
        lines.append(f"Passed over for few or failed runs, though better on validation: {named}.")
    where = "on test, each technique at its chosen settings" if found.tuned else "on test"
    if found.better:
        lines.append(f"Distinguishably better than it {where}: {_listed([arm.label for arm in found.better])}.")
    if found.alike:
        lines.append(f"Not distinguishable from it {where}: {_listed([arm.label for arm in found.alike])}.")
        lines += _choice(found)
    elif not found.better and len(study.arms) > 1 and found.known:
        lines.append(f"All others are distinguishable from it {where}.")
    for edge in found.edges:
        more = "smaller" if edge.side == "smallest" else "larger"
        lines.append(f"Try {more} values of {edge.key}: the best, {edge.value}, is the {edge.side} tried.")
    if alone:
        lines.append("One seed only: no interval and no test. Add 'seed=range(5)' to tell luck from effect.")
    elif found.rival is not None:
        lines.append(_more_seeds(found, found.rival))
    return lines


def edges(study: Study, best: Arm) -> tuple[Edge, ...]:
    """The swept numeric keys of which the best arm has an outermost value, among arms that differ in that key only.

    Zero is no edge downwards: strengths and rates end there. The draws of a search differ in every key, and so have
    no edges.
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
        side = "smallest" if own == min(numbers) else "largest"
        if not (side == "smallest" and own == 0):
            found.append(Edge(name, best.settings[key], side))
    return tuple(found)


def _without(arm: Arm, key: str) -> dict[str, str]:
    return {name: value for name, value in arm.settings.items() if name != key}


def _unclear(pair: Comparison) -> bool:
    return pair.p is not None and not pair.distinguishable


def _better(pair: Comparison) -> bool:
    return pair.distinguishable and pair.interval[0] > 0


def _lost(arm: Arm) -> int:
    return len(arm.runs) - len(arm.completed)


def _runs(arm: Arm) -> str:
    return f"{len(arm.completed)} of {len(arm.runs)} run{'s' * (len(arm.runs) > 1)}"


def _gained(gain: Comparison) -> str:
    if gain.interval is None:
        return f"It shares no seed and split with {gain.baseline.label}: no gain is known."
    mean, half = gain.interval
    word = "gains" if mean >= 0 else "loses"
    amount = f"On test it {word} {_value(abs(mean), gain.metric, of='difference')}"
    over = f"{'over' if mean >= 0 else 'against'} {gain.baseline.label}"
    if half is None:
        return f"{amount} {over}, on one seed."
    low, high = (_value(end, gain.metric, signed=True) for end in (mean - half, mean + half))
    spread = f"95 % interval {low} to {high}, n = {gain.n}"
    if half <= 1e-9 * abs(mean):  # the interval would be a point, which no few pairs can know
        spread = f"the same in all {gain.n} pairs"
    verdict = "" if gain.distinguishable else ": not distinguishable"
    return f"{amount} {over} ({spread}, corrected p {_p(gain.p)}){verdict}."


def _listed(names: Sequence[str]) -> str:
    """The first, and as many more as a sentence can hold."""
    lengths = accumulate(len(name) + 2 for name in names)
    shown = max(1, sum(length <= LISTED for length in lengths))
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if names[shown:] else "")


def _choice(found: Answer) -> list[str]:
    lines = []
    simplest, cheapest, best = found.simplest, found.cheapest, found.best
    if _regularizers(simplest) < _regularizers(best):
        lines.append(f"The simplest of these is {simplest.label}.")
    if cheapest is not best and _seconds(cheapest) < CHEAPER * _seconds(best):
        spent = f"{_seconds(cheapest):.3g} s a run instead of {_seconds(best):.3g} s"
        lines.append(f"The cheapest is {cheapest.label} ({spent}).")
    return lines


def _more_seeds(found: Answer, rival: Comparison) -> str:
    other = rival.baseline if rival.arm is found.best else rival.arm
    pair = f"the best from {other.label}"
    if rival.effect is None:
        return f"To tell {pair}, add {rival.unit}: {rival.n} say too little of the spread."
    seems = "if the difference is what it seems"
    if found.seeds is None:
        return f"To tell {pair} would take more than {MOST} {rival.unit}, {seems}."
    more = max(1, found.seeds - rival.n)
    return f"To tell {pair}, about {more} more {rival.unit} would do, {seems} (power 80 %)."


def _seeds_needed(rival: Comparison | None) -> int | None:
    # Bonferroni's α: what Holm asks of the first of the family. The bias of Hedges' g is taken out already.
    if rival is None or not rival.effect:
        return None
    return seeds_needed(rival.effect, ALPHA / rival.family, most=MOST)


def _value(number: float, metric: str, signed: bool = False, of: str = "score") -> str:
    plus = "+" if signed else ""
    if metric != "accuracy":
        return f"{number:{plus}.4g}"
    unit = "" if signed else " percentage points" if of == "difference" else " %"
    return f"{100 * number:{plus}.2f}{unit}"


def _p(p: float | None) -> str:
    return "unknown" if p is None else "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _regularizers(arm: Arm) -> int:
    return len(arm.techniques)


def _seconds(arm: Arm) -> float:
    return float("inf") if arm.seconds is None else arm.seconds


def _number(text: str | None) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
