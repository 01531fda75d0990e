"""What each technique and each two-valued key contributes: main effects and interactions of a factorial."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf

from ..core.metrics import scale_of
from .estimate import estimate
from .study import Pairing, Study, short_keys, span
from .sweep import number


@dataclass(frozen=True)
class Effect:
    """How much better the validation metric gets, in its unit: more is better, for losses too.

    `half_width` is that of the 95 % interval over the seeds and splits of `n` (see `estimate`), None where they say
    nothing.
    """

    name: str
    mean: float
    half_width: float | None
    n: int


@dataclass(frozen=True)
class Interaction:
    """What `first` gains where `second` is off and where it is on, and by how much the two differ."""

    first: str
    second: str
    off: Effect
    on: Effect
    difference: Effect


def main_effects(study: Study) -> list[Effect]:
    """Mean difference on − off of every technique and two-valued key over all other combinations run both ways.

    None where no arm has two factors on: what one alone brings is in the table. A factor is left out if fewer than
    half of the arms that have it on were also run without it, as among the draws of a search: those few say little
    of the others.
    """
    cells, factors = _design(study)
    if all(len(cell.on) < 2 for cell in cells):
        return []
    found = {factor: _squares_of(cells, [factor]) for factor in factors}
    return [
        _effect(factor, _differences(squares, shared, study.metric), _size(cells), span(study.metric, 2))
        for factor, squares in found.items()
        if 2 * len(squares) >= sum(factor in cell.on for cell in cells) and (shared := _shared(squares))
    ]


def interactions(study: Study) -> list[Interaction]:
    """For each pair of factors: the effect of the first where the second is off, and where it is on.

    The difference is y(1,1) − y(0,1) − y(1,0) + y(0,0), not halved: below zero, the two help less together
    than the sum of what each brings alone.
    """
    cells, factors = _design(study)
    found = []
    for first, second in combinations(factors, 2):
        squares = _squares_of(cells, [first, second])
        shared = _shared(squares)
        if not shared or 2 * len(squares) < sum({first, second} <= cell.on for cell in cells):
            continue
        on = [[(+1, both), (-1, without)] for (_, both), _, (_, without), _ in squares]
        off = [[(+1, alone), (-1, neither)] for _, (_, alone), _, (_, neither) in squares]
        parts = [_differences(contrasts, shared, study.metric) for contrasts in (off, on, squares)]
        names = (first, first, f"{first} × {second}")
        spans = [span(study.metric, corners) for corners in (2, 2, 4)]
        found.append(Interaction(first, second, *map(_effect, names, parts, [_size(cells)] * 3, spans)))
    return found


@dataclass(frozen=True)
class _Cell:
    """An arm as a point of the design: which factors are on, what else is set, and the metric of its runs."""

    on: frozenset[str]
    rest: frozenset[tuple[str, str]]
    values: Mapping[Pairing, float]


Contrast = Sequence[tuple[int, _Cell]]  # signed corners


def _design(study: Study) -> tuple[list[_Cell], list[str]]:
    own = [arm.settings for arm in study.arms]
    techniques = [arm.techniques for arm in study.arms]
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
        # An arm without a result counts as if it had not been run.
        if measured := arm.measured("val", study.metric):
            cells.append(_Cell((chosen - shared) | switched, frozenset(rest), measured))
    factors = sorted(frozenset.union(*techniques) - shared) + list(names.values())
    return cells, factors


def _squares_of(cells: Sequence[_Cell], factors: Sequence[str]) -> list[Contrast]:
    """For every arm with all factors on: the signed corners of its square, if all were run.

    In the order all on, the last factor off, the one before it off, both off.
    """
    switched: dict[frozenset[str], list[_Cell]] = {}
    for cell in cells:
        switched.setdefault(cell.on, []).append(cell)
    offs = [off for size in range(len(factors) + 1) for off in combinations(reversed(factors), size)]
    found: list[Contrast] = []
    for cell in (cell for cell in cells if set(factors) <= cell.on):
        partners = (switched.get(cell.on - set(off), ()) for off in offs)
        square = [corner for others in partners for corner in [o for o in others if _matches(o, cell)][:1]]
        if len(square) == len(offs):
            found.append([((-1) ** len(off), corner) for off, corner in zip(offs, square, strict=True)])
    return found


def _matches(other: _Cell, cell: _Cell) -> bool:
    # The strength of a technique is not a setting of the run without it.
    return other.rest <= cell.rest and all(key.startswith("regularizer.") for key, _ in cell.rest - other.rest)


def _shared(contrasts: Sequence[Contrast]) -> set[Pairing]:
    """The seeds and splits with which all their corners were run."""
    found = [set(cell.values) for contrast in contrasts for _, cell in contrast]
    return set.intersection(*found) if found else set()


def _differences(contrasts: Sequence[Contrast], shared: Iterable[Pairing], metric: str) -> dict[Pairing, float]:
    """For each shared seed and split the mean, over all contrasts, of the signed sum of their corners."""
    better = -scale_of(metric).sign
    return {
        key: better * statistics.fmean(sum(sign * cell.values[key] for sign, cell in corners) for corners in contrasts)
        for key in shared
    }


def _size(cells: Sequence[_Cell]) -> float:
    """The greatest value of the metric without its sign, of whose size differences are rounded."""
    return max(abs(value) for cell in cells for value in cell.values.values())


def _effect(name: str, differences: Mapping[Pairing, float], scale: float, widest: float) -> Effect:
    found = estimate(differences, scale)
    half = None if found.interval(span=widest) is None else found.half_width()
    return Effect(name, found.mean, half, found.n)


def _off_first(value: str) -> tuple[bool, float, str]:
    off = value.lower() in ("none", "null", "false", "identity", "off")
    known = number(value)
    return not off, inf if known is None else known, value
