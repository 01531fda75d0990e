"""The answer of a study in words."""

from collections.abc import Sequence
from itertools import accumulate

from .answer import MOST, Answer
from .compare import Comparison
from .mixed import unpaired
from .statistics import LEAST
from .study import METRICS, Arm, Study, cost, independent, short_keys, unit

LISTED = 200  # letters of the names of arms in one sentence
CHEAPER = 0.9  # of the best arm's operations


def sentences(found: Answer) -> list[str]:
    """The answer as short sentences, the most important first."""
    lines = [*_best(found), *_gain(found), *_others(found)]
    for edge in found.edges:
        more = "smaller" if edge.side == "smallest" else "larger"
        lines.append(f"Try {more} values of {edge.key}: the best, {edge.value}, is the {edge.side} tried.")
    return [*lines, *_seeds(found)]


def _best(found: Answer) -> list[str]:
    study, best = found.study, found.best
    score = _value(METRICS[study.metric] * cost(best, study.metric), study.metric)
    first = f"Best by validation: {best.label} ({study.metric} {score})."
    if best.lost:
        first += f" Only {_runs(best)} completed."
    if len(study.arms) == 1:
        return [f"{first} Nothing else was tried."]
    if len(study.ties) == 1:
        return [first]
    ties, arms = len(study.ties), len(study.arms)
    shared = f"{ties} of {arms} settings share the best" if ties < arms else f"all {arms} settings have the same"
    lines = [
        f"Best by validation: {shared} {study.metric}, {score} ({_in_common(study)}). "
        f"Of these {best.label} has the lowest validation loss."
    ]
    simplest = min(study.ties, key=lambda arm: len(arm.active))
    if len(simplest.active) < len(best.active):
        lines.append(f"The simplest of these is {simplest.label}.")
    return lines


def _in_common(study: Study) -> str:
    """The tied arms by name where that is short, else by the values that their swept keys have."""
    names = ", ".join(arm.label for arm in study.ties)
    if len(names) <= LISTED:
        return names
    own = [arm.settings for arm in study.arms]
    keys = dict.fromkeys(key for settings in own for key in settings if key != "regularizer")
    varying = short_keys(key for key in keys if len({settings.get(key) for settings in own}) > 1)
    parts = [
        f"{name} {_range([v for arm in study.ties if (v := arm.settings.get(key))])}" for key, name in varying.items()
    ]
    techniques = dict.fromkeys(arm.technique for arm in study.ties)
    return ", ".join([_listed(list(techniques))] * (len(techniques) > 1) + [part for part in parts if part[-1] != " "])


def _range(values: Sequence[str]) -> str:
    """`0 to 0.4` of numbers, else the values."""
    different = list(dict.fromkeys(values))
    try:
        order = sorted(different, key=float)
    except ValueError:
        return " or ".join(different)
    return order[0] if len(order) == 1 else f"{order[0]} to {order[-1]}" if order else ""


def _gain(found: Answer) -> list[str]:
    study, baseline = found.study, found.baseline
    if baseline is not None and len(study.arms) > 1 and baseline in study.ties:
        if baseline is not found.best:
            return [f"The baseline {baseline.label} is one of them.", *_on_test(found)]
        return ["It is the baseline: nothing that was tried is better on validation."]
    return _on_test(found)


def _on_test(found: Answer) -> list[str]:
    gain = found.gain
    if gain is None:
        return []
    lines = [_gained(gain)]
    if gain.effect is not None:
        chance = f"a run of it is better than one of {gain.baseline.label} with probability {gain.improvement:.2f}"
        lines.append(f"Effect size {round(gain.effect, 1) + 0.0:+.1f} (Hedges' g); {chance}.")
    return lines


def _gained(gain: Comparison) -> str:
    if gain.interval is None:
        return f"No gain is known: {unpaired(gain.arm, gain.baseline, gain.metric)}."
    mean, half = gain.interval
    word = "gains" if mean >= 0 else "loses"
    amount = f"On test it {word} {_value(abs(mean), gain.metric, of='difference')}"
    over = f"{'over' if mean >= 0 else 'against'} {gain.baseline.label}"
    if half is None:
        return f"{amount} {over} (n = {gain.n}: no interval)."
    low, high = (_value(end, gain.metric, signed=True) for end in (mean - half, mean + half))
    spread = f"95 % interval {low} to {high}, n = {gain.n}"
    if half <= 1e-9 * abs(mean):  # the interval would be a point, and a few pairs cannot know the gain that exactly
        spread = f"the same in all {gain.n} pairs"
    verdict = "" if gain.distinguishable else ": not distinguishable"
    return f"{amount} {over} ({spread}, corrected p {_p(gain.p)}){verdict}."


def _others(found: Answer) -> list[str]:
    study, lines = found.study, []
    if found.passed_over:
        named = _listed([f"{arm.label} ({_runs(arm)})" for arm in found.passed_over])
        lines.append(f"Better on validation, but with too few or with failed runs: {named}.")
    where = "on test, each technique at its chosen settings" if found.tuned else "on test"
    if found.better:
        lines.append(f"Distinguishably better than it {where}: {_listed([arm.label for arm in found.better])}.")
    if found.alike:
        lines.append(f"Not distinguishable from it {where}: {_listed([arm.label for arm in found.alike])}.")
        lines += _choice(found)
    elif not found.better and len(study.arms) > 1 and found.known:
        lines.append(f"All others are distinguishably worse {where}.")
    return lines


def _choice(found: Answer) -> list[str]:
    lines = []
    simplest, cheapest, best = found.simplest, found.cheapest, found.best
    if len(simplest.active) < len(best.active) and simplest not in found.study.ties:  # of those it was told before
        lines.append(f"The simplest of these is {simplest.label}.")
    if cheapest.operations and best.operations and cheapest.operations < CHEAPER * best.operations:
        share = f"{cheapest.operations / best.operations:.2f}x the operations of {best.label}"
        lines.append(f"The cheapest is {cheapest.label}: it needs {share}.")
    return lines


def _seeds(found: Answer) -> list[str]:
    study = found.study
    most = max((arm.measured("val", study.metric) for arm in study.arms), key=lambda found: len(independent(found)))
    if (count := len(independent(most))) < LEAST:
        few = "One seed" if count == 1 else f"Two {unit(most)}"
        return [f"{few} only: no interval and no test. Repeat with 'seed=range(5)' to tell an effect from luck."]
    return [_more_seeds(found, found.rival)] if found.rival is not None else []


def _more_seeds(found: Answer, rival: Comparison) -> str:
    other = rival.baseline if rival.arm is found.best else rival.arm
    if rival.effect is None:
        return f"Add {rival.unit} to tell the best from {other.label}: {rival.n} say too little of the spread."
    if found.seeds is None:
        return (
            f"More than {MOST} {rival.unit} are needed to tell the best from {other.label}, if they differ as measured."
        )
    more = max(1, found.seeds - rival.n)
    return (
        f"About {more} more {rival.unit} are needed to tell the best from {other.label}, if they differ as measured "
        "(power 80 %)."
    )


def _runs(arm: Arm) -> str:
    return f"{len(arm.completed)} of {len(arm.runs)} run{'s' * (len(arm.runs) > 1)}"


def _listed(names: Sequence[str]) -> str:
    """The first, and as many more as a sentence can hold."""
    lengths = accumulate(len(name) + 2 for name in names)
    shown = max(1, sum(length <= LISTED for length in lengths))
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if names[shown:] else "")


def _value(number: float, metric: str, signed: bool = False, of: str = "score") -> str:
    plus = "+" if signed else ""
    if metric != "accuracy":
        return f"{number:{plus}.4g}"
    unit = "" if signed else " percentage points" if of == "difference" else " %"
    return f"{100 * number:{plus}.2f}{unit}"


def _p(p: float | None) -> str:
    return "unknown" if p is None else "< 0.001" if p < 0.001 else f"= {p:.2g}"
