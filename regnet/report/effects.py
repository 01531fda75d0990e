"""What each swept key and each technique contributes: shares of variance, main effects, interactions."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from ..runs import Run
from .statistics import mean_interval
from .study import METRICS, Study, settings, short_keys, technique

Setting = Mapping[str, str]
Point = tuple[frozenset[tuple[str, str]], float]  # the settings of a run, its number
SEEDS = "seeds"  # the share that no setting explains


@dataclass(frozen=True)
class Effect:
    """How much better the validation metric gets, in its unit: more is better, for losses too.

    `half_width` is that of the 95 % Student t interval over `seeds` seeds; None with one seed.
    """

    name: str
    mean: float
    half_width: float | None
    seeds: int


@dataclass(frozen=True)
class Interaction:
    """What `first` gains where `second` is off and where it is on, and by how much the two differ."""

    first: str
    second: str
    off: Effect
    on: Effect
    difference: Effect


def eta_squared(points: Sequence[Point]) -> dict[str, float]:
    """η² = SS_between(key) / SS_total for every key, the largest first; `seeds`: SS within equal settings.

    SS_between groups the numbers by the value of that key alone. In a full grid the shares and the
    interactions add up to 1; where some combinations are missing, shares of keys overlap. A key that
    some runs lack has "absent" as one more value.

    Args:
        points: the settings of each run, as pairs, and its number.

    Source: Fisher (1925), Statistical Methods for Research Workers, chapter 7 (correlation ratio η²).
    """
    values = [value for _, value in points]
    total = _squares(values)
    keys = dict.fromkeys(key for pairs, _ in points for key, _ in sorted(pairs))
    if not total:
        return {}
    shares = {key: _between([(dict(pairs).get(key), value) for pairs, value in points]) / total for key in keys}
    ordered = dict(sorted(shares.items(), key=lambda share: -share[1]))
    return ordered | {SEEDS: 1 - _between(points) / total}


def importance(study: Study) -> dict[str, float]:
    """`eta_squared` of the validation metric by the keys that vary in the study; empty if fewer than two do."""
    points = []
    for arm in study.arms:
        own = settings(arm.runs[0])
        pairs = frozenset({"regularizer": "", **own}.items())
        points += [(pairs, value) for value in arm.values("val", study.metric)]
    if not points:
        return {}
    common = frozenset.intersection(*(pairs for pairs, _ in points))
    points = [(pairs - common, value) for pairs, value in points]
    shares = eta_squared(points)
    if len(shares) < 3:
        return {}
    names = short_keys(key for key in shares if key != SEEDS)
    return {names.get(key, key): share for key, share in shares.items()}


def main_effects(study: Study) -> list[Effect]:
    """Mean difference on − off of every technique and two-valued key over all other combinations run both ways."""
    cells, factors = _design(study)
    if len(factors) < 2:  # the difference of two arms is in the table already
        return []
    found = ((factor, _contrast(cells, [factor], study.metric)) for factor in factors)
    return [_effect(factor, by_seed) for factor, by_seed in found if by_seed]


def interactions(study: Study) -> list[Interaction]:
    """For each pair of factors: the effect of the first where the second is off, and where it is on.

    The difference is y(1,1) − y(0,1) − y(1,0) + y(0,0), not halved: below zero, the two help less together
    than the sum of what each brings alone.
    """
    cells, factors = _design(study)
    found = []
    for first, second in combinations(factors, 2):
        quads = _contrast(cells, [first, second], study.metric)
        if not quads:
            continue
        off, on = _simple(cells, first, second, study.metric)
        found.append(
            Interaction(first, second, _effect(first, off), _effect(first, on), _effect(f"{first} × {second}", quads))
        )
    return found


@dataclass(frozen=True)
class _Cell:
    """An arm as a point of the design: which factors are on, and what else is set."""

    on: frozenset[str]
    rest: frozenset[tuple[str, str]]
    by_seed: Mapping[int | None, Run]


def _design(study: Study) -> tuple[list[_Cell], list[str]]:
    own = [settings(arm.runs[0]) for arm in study.arms]
    techniques = [_techniques(arm.runs[0]) for arm in study.arms]
    shared = frozenset.intersection(*techniques)
    levels: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for setting in own for key in setting):
        values = sorted({setting[key] for setting in own if key in setting}, key=_off_first)
        if len(values) == 2 and key != "regularizer" and all(key in setting for setting in own):
            levels[key] = values
    names = {key: f"{name}={levels[key][1]}" for key, name in short_keys(levels).items()}
    cells = []
    for arm, setting, chosen in zip(study.arms, own, techniques, strict=True):
        switched = {names[key] for key, (_, high) in levels.items() if setting[key] == high}
        rest = {(key, value) for key, value in setting.items() if key not in levels and key != "regularizer"}
        by_seed = {run.seed: run for run in arm.completed if run.metric("val", study.metric) is not None}
        cells.append(_Cell((chosen - shared) | switched, frozenset(rest), by_seed))
    factors = sorted(frozenset.union(*techniques) - shared) + list(names.values())
    return cells, factors


def _techniques(run: Run) -> frozenset[str]:
    words = technique(settings(run).get("regularizer"), run.config)
    return frozenset() if words in ("none", "(default)") else frozenset(words.split(" + "))


def _contrast(cells: Sequence[_Cell], factors: Sequence[str], metric: str) -> dict[int | None, float]:
    """For each seed, the difference over one factor, or the difference of differences over two."""
    return _by_seed(_squares_of(cells, factors), metric)


def _simple(
    cells: Sequence[_Cell], first: str, second: str, metric: str
) -> tuple[dict[int | None, float], dict[int | None, float]]:
    """The effect of `first` by seed where `second` is off and on, over the same quadruples as the interaction."""
    corners = [[cell for _, cell in square] for square in _squares_of(cells, [first, second])]
    off = [[(+1, alone), (-1, neither)] for _, alone, _, neither in corners]
    on = [[(+1, both), (-1, without)] for both, _, without, _ in corners]
    return _by_seed(off, metric), _by_seed(on, metric)


def _squares_of(cells: Sequence[_Cell], factors: Sequence[str]) -> list[list[tuple[int, _Cell]]]:
    """For every arm with all factors on: the signed corners of its square, if all were run.

    In the order all on, the last factor off, the one before it off, both off.
    """
    switched: dict[frozenset[str], list[_Cell]] = {}
    for cell in cells:
        switched.setdefault(cell.on, []).append(cell)
    offs = [off for size in range(len(factors) + 1) for off in combinations(reversed(factors), size)]
    found = []
    for cell in (cell for cell in cells if set(factors) <= cell.on):
        partners = (switched.get(cell.on - set(off), ()) for off in offs)
        square = [next((other for other in others if _matches(other, cell)), None) for others in partners]
        if None not in square:
            found.append([((-1) ** len(off), corner) for off, corner in zip(offs, square, strict=True)])
    return found


def _matches(other: _Cell, cell: _Cell) -> bool:
    # The strength of a technique is not a setting of the run without it.
    return other.rest <= cell.rest and all(key.startswith("regularizer.") for key, _ in cell.rest - other.rest)


def _by_seed(contrasts: Iterable[Sequence[tuple[int, _Cell]]], metric: str) -> dict[int | None, float]:
    contrasts = list(contrasts)
    if not contrasts:
        return {}
    better = -METRICS[metric]
    seeds = set.intersection(*(set(cell.by_seed) for contrast in contrasts for _, cell in contrast))

    def difference(contrast: Sequence[tuple[int, _Cell]], seed: int | None) -> float:
        return sum(sign * better * (cell.by_seed[seed].metric("val", metric) or 0.0) for sign, cell in contrast)

    return {seed: statistics.fmean(difference(contrast, seed) for contrast in contrasts) for seed in seeds}


def _effect(name: str, by_seed: Mapping[int | None, float]) -> Effect:
    return Effect(name, *mean_interval(list(by_seed.values())), len(by_seed))


def _off_first(value: str) -> tuple[bool, float | str]:
    off = value.lower() in ("none", "null", "false", "0", "identity", "off")
    return not off, value


def _between(points: Iterable[tuple[object, float]]) -> float:
    groups: dict[object, list[float]] = {}
    for level, value in points:
        groups.setdefault(level, []).append(value)
    everything = [value for group in groups.values() for value in group]
    return _squares(everything) - sum(map(_squares, groups.values()))


def _squares(values: Sequence[float]) -> float:
    mean = statistics.fmean(values)
    return sum((value - mean) ** 2 for value in values)
