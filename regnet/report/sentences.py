"""The answer of a study in words."""

from .answer import MOST, Answer, other
from .compare import Comparison, score, score_interval
from .estimate import LEAST, Estimate
from .mixed import unpaired
from .notes import chosen_by, last_epoch, train_longer, tuned_unevenly
from .sequential import AnytimeEstimate, anytime
from .study import Arm, Study, short_keys
from .wording import (
    LISTED,
    count,
    difference,
    differences,
    listed,
    p_value,
    percent,
    runs_of,
    scores,
    signed,
    spanned,
)
from .wording import score as score_text

CHEAPER = 0.9  # of the best arm's operations


def sentences(found: Answer) -> list[str]:
    """The answer as short sentences, the most important first."""
    lines = [*headline(found), *_size(found), *last_epoch(found), *chosen_by(found), *tuned_unevenly(found)]
    if found.passed_over:
        named = listed([f"{arm.label} ({runs_of(arm)})" for arm in found.passed_over])
        lines.append(f"Better on validation, but with too few or with failed runs: {named}.")
    if not found.too_short:
        lines += [*_others(found), *_edges(found)]
    return [*lines, *_seeds(found)]


def headline(found: Answer) -> list[str]:
    """What is best and what it gains; before that, why nothing is advised where training was too short."""
    return [*train_longer(found), _best(found), *_gain(found)]


def _best(found: Answer) -> str:
    study, best = found.study, found.best
    ties, arms = len(study.ties), len(study.arms)
    if ties > 1:
        shared = f"{ties} of {arms} settings share the best" if ties < arms else f"all {arms} settings have the same"
        first = (
            f"Best by validation: {shared} {study.metric} ({_in_common(study)}). "
            f"Of these {best.label} has the lowest validation loss."
        )
    else:
        first = f"Best by validation: {best.label}."
    parts = [first, _score(study, best), f"Only {runs_of(best)} completed." if best.lost else ""]
    parts.append("Nothing else was tried." if arms == 1 else "")
    return " ".join(part for part in parts if part)


def _score(study: Study, best: Arm) -> str:
    """The test score of an arm with its interval."""
    found = score(best, "test", study.metric)
    if found is None:
        return ""
    found = anytime(found) if study.anytime else found
    interval = score_interval(found, study.metric)
    told = [f"95 % interval {scores(interval, study.metric)}" if interval else "", count(found)]
    told += ["on this split"] * (found.splits == 1)
    value = score_text(found.mean, study.metric)
    return f"On test its {study.metric} is {value} ({', '.join(part for part in told if part)})."


def _in_common(study: Study) -> str:
    """The tied arms by name where that is short, else by the values that their swept keys have."""
    names = ", ".join(arm.label for arm in study.ties)
    if len(names) <= LISTED:
        return names
    own = [arm.settings for arm in study.arms]
    keys = dict.fromkeys(key for settings in own for key in settings if key != "regularizer")
    varying = short_keys(key for key in keys if len({settings.get(key) for settings in own}) > 1)
    parts = [
        f"{name} {spanned([v for arm in study.ties if (v := arm.settings.get(key))])}" for key, name in varying.items()
    ]
    techniques = dict.fromkeys(arm.technique for arm in study.ties)
    return ", ".join([listed(list(techniques))] * (len(techniques) > 1) + [part for part in parts if part[-1] != " "])


def _gain(found: Answer) -> list[str]:
    study, baseline = found.study, found.baseline
    if found.gain is not None:
        tied = [f"The baseline {found.gain.baseline.label} is one of them."] if baseline in study.ties else []
        return [*tied, _gained(found.gain)]
    if baseline is not None and len(study.arms) > 1:
        return ["It is the baseline: nothing that was tried is better on validation."]
    return []


def _gained(pair: Comparison) -> str:
    if pair.gain is None:
        return f"No gain is known: {unpaired(pair.arm, pair.baseline, pair.metric)}."
    if pair.gain.n >= LEAST and pair.gain.mean == pair.gain.error == 0:
        return f"It scores as {pair.baseline.label} does in all {pair.gain.n} pairs."
    gains = pair.gain.mean >= 0
    amount = f"It {'gains' if gains else 'loses'} {difference(abs(pair.gain.mean), pair.metric)}"
    over = f"{'over' if gains else 'against'} {pair.baseline.label}"
    return f"{amount} {over} ({'; '.join([_interval(pair, pair.gain), *_at_last(pair)])}){_verdict(pair)}."


def _interval(pair: Comparison, gain: Estimate) -> str:
    if pair.interval is None:
        equal = gain.n >= LEAST and gain.error == 0
        return f"the same in all {gain.n} pairs: no interval" if equal else f"{count(gain)}: no interval"
    family = f" for {pair.family} comparisons at once" if pair.family > 1 else ""
    looks = " at any number of looks" if isinstance(gain, AnytimeEstimate) else ""
    p = "" if pair.p is None else f", {'corrected ' * (pair.family > 1)}{p_value(pair.p)}"
    return f"95 % interval{family}{looks} {differences(pair.interval, pair.metric)}, {count(gain)}{p}"


def _at_last(pair: Comparison) -> list[str]:
    return [f"at the last epoch {signed(pair.last.mean, pair.metric)}"] if pair.last else []


def _verdict(pair: Comparison) -> str:
    if pair.interval is None:
        return ""
    if pair.too_short:
        return ": not decided, as training was too short"
    within = ", and within the margin" if pair.equivalent else ""
    seeds = f" after {pair.gain.n} {pair.gain.unit}" if isinstance(pair.gain, AnytimeEstimate) else ""
    return f": decided{seeds}{within}" if pair.decided else f": not decided{seeds}{within}"


def _size(found: Answer) -> list[str]:
    """How often the best is better than the baseline, and by how many standard deviations."""
    pair = found.gain
    if pair is None or pair.gain is None or pair.gain.mean == 0 or not pair.wins:
        return []
    won = pair.wins
    told = (
        f"A run of it is better than one of {pair.baseline.label} in {won.won:g} of {won.pairs} pairs "
        f"(95 % interval {percent(won.low)} to {percent(won.high)} %)"
    )
    if pair.effect:
        told += "; Hedges' g = {:.1f} ({:.1f} to {:.1f})".format(*pair.effect)
    return [f"{told}."]


def _others(found: Answer) -> list[str]:
    study, lines = found.study, []
    where = "on test, each technique at its chosen settings" if found.tuned else "on test"
    if found.better:
        lines.append(f"Decidedly better than it {where}: {listed([arm.label for arm in found.better])}.")
    if found.equivalent:
        margin = difference(found.equivalent[0].margin, study.metric)
        lines.append(f"As good {where}, within the margin of {margin}: {_named(found.equivalent, found.best)}.")
        lines += _choice(found)
    if found.unclear:
        lines.append(f"These runs cannot tell from it {where}: {_named(found.unclear, found.best)}.{_seen(found)}")
    if found.left_out:
        lines.append(f"Trained too short to be compared: {listed([arm.label for arm in found.left_out])}.")
    told = found.better or found.equivalent or found.unclear or found.left_out
    if not told and len(study.arms) > 1 and found.known:
        lines.append(f"All others are decidedly worse {where}.")
    return lines


def _named(pairs: tuple[Comparison, ...], best: Arm) -> str:
    return listed([other(pair, best).label for pair in pairs])


def _seen(found: Answer) -> str:
    """The smallest difference that could have been seen of each of those that are not told apart."""
    least = [pair.detectable for pair in found.unclear if pair.detectable is not None]
    if not least:
        return ""
    return f" They could have shown a difference of {difference(max(least), found.study.metric)} (power 80 %)."


def _choice(found: Answer) -> list[str]:
    lines = []
    simplest, cheapest, best = found.simplest, found.cheapest, found.best
    if len(simplest.active) < len(best.active):
        lines.append(f"The simplest of these is {simplest.label}.")
    if cheapest.operations and best.operations and cheapest.operations < CHEAPER * best.operations:
        share = f"{cheapest.operations / best.operations:.2f}x the operations of {best.label}"
        lines.append(f"The cheapest is {cheapest.label}: it needs {share}.")
    return lines


def _edges(found: Answer) -> list[str]:
    lines = []
    for edge in found.edges:
        more = "smaller" if edge.side == "smallest" else "larger"
        lines.append(f"Try {more} values of {edge.key}: the best, {edge.value}, is the {edge.side} tried.")
    return lines


def _seeds(found: Answer) -> list[str]:
    most = max(filter(None, (score(arm, "val", found.study.metric) for arm in found.study.arms)), key=lambda e: e.n)
    if most.n < LEAST:
        few = "One seed" if most.n == 1 else f"Two {most.unit}"
        return [f"{few} only: no interval and no test. Repeat with 'seed=range(5)' to tell an effect from luck."]
    return [_more_seeds(found, found.rival)] if found.rival is not None and not found.too_short else []


def _more_seeds(found: Answer, rival: Comparison) -> str:
    name, gain = other(rival, found.best).label, rival.gain
    if gain is None or not gain.known:
        return f"Add seeds to tell the best from {name}: these say too little of the spread."
    if found.seeds is None:
        return f"More than {MOST} {gain.unit} are needed to tell the best from {name}, if they differ as measured."
    more = max(1, found.seeds - gain.n)
    told = f"About {more} more {gain.unit} would tell the best from {name}, if they differ as measured (power 80 %)."
    if found.study.anytime:
        return told
    return f"{told} To add them after a look makes errors likelier; hydra/sweeper=decide adds them validly."
