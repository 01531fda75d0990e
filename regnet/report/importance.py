"""How much of the variance between runs each swept key explains."""

import statistics
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from .study import Arm, Study, short_keys

QUARTERS = 4  # groups into which the values of a key are put, where nearly every arm has its own
SEEDS = "seeds"  # the share of the variance that no setting explains

Point = tuple[Hashable, float]  # the value of a key in a run, the run's number


@dataclass(frozen=True)
class Share:
    """What a key explains of the variance (η²), and what one without any effect would on average."""

    explained: float
    by_chance: float


def eta_squared(points: Sequence[Point]) -> float:
    """η² = SS_between / SS_total, of numbers grouped by their level; 0 where all numbers are equal.

    Source: Fisher (1925), Statistical Methods for Research Workers, chapter 7 (correlation ratio η²).
    """
    groups: dict[Hashable, list[float]] = {}
    for level, value in points:
        groups.setdefault(level, []).append(value)
    total = _squares([value for _, value in points])
    return 1 - sum(map(_squares, groups.values())) / total if total else 0.0


def importance(study: Study) -> dict[str, Share]:
    """η² of the validation metric by each key that varies, the largest first; empty if fewer than two do.

    Techniques that are combined count one by one: on or off, or with the values of a key of theirs that varies.
    Numbers of which most arms have one of their own, as a search draws them, are grouped in quarters. In a full grid
    the shares and the interactions add up to 1; where combinations are missing, shares overlap. `seeds` is what equal
    settings leave unexplained; it is absent where no settings were run twice, as chance is then part of the rest.
    """
    arms = [arm for arm in study.arms if arm.values("val", study.metric)]
    values = [arm.values("val", study.metric) for arm in arms]
    every = _levels(arms)
    if len(every) < 2:
        return {}
    shares = {}
    for key, levels in every.items():
        others = list(zip(*(other for name, other in every.items() if name != key), strict=True))
        shares[key] = Share(eta_squared(_points(levels, values)), _by_chance(levels, others, values))
    if not any(share.explained for share in shares.values()):
        return {}
    found = dict(sorted(shares.items(), key=lambda share: -share[1].explained))
    if max(map(len, values)) > 1:
        runs = sum(map(len, values))
        found[SEEDS] = Share(1 - eta_squared(_points(range(len(arms)), values)), (runs - len(arms)) / (runs - 1))
    return found


def _by_chance(levels: Sequence[Hashable], others: Sequence[Hashable], values: Sequence[Sequence[float]]) -> float:
    """Σ SS_block · (k − 1) / (arms − blocks) / SS_total: the mean of η² if the key's k values are dealt out anew.

    In a full grid they are dealt out within blocks of arms that agree in the `others`: what those do is the same for
    each value. Elsewhere, as among the draws of a search, all arms are one block.

    Source: the mean under permutation, Pitman (1938), Biometrika 29.
    """
    cells = Counter(zip(others, levels, strict=True))
    full = len(cells) == len(set(others)) * len(set(levels)) and len(set(cells.values())) == 1
    blocks = others if full else [None] * len(levels)
    between_arms = eta_squared(_points(range(len(levels)), values))
    within = between_arms - eta_squared(_points(blocks, values))
    return within * (len(set(levels)) - 1) / (len(levels) - len(set(blocks)))


def _points(levels: Sequence[Hashable], values: Sequence[Sequence[float]]) -> list[Point]:
    return [(level, value) for level, own in zip(levels, values, strict=True) for value in own]


def _levels(arms: Sequence[Arm]) -> dict[str, list[Hashable]]:
    """For each key that varies its value in each arm, None where the arm lacks it; under short names."""
    own = [{key: value for key, value in arm.settings.items() if key != "regularizer"} for arm in arms]
    keys = dict.fromkeys(key for setting in own for key in setting)
    found = {key: levels for key in keys if len(set(levels := _grouped([setting.get(key) for setting in own]))) > 1}
    names = short_keys(found)
    return _techniques(arms, names) | {name: found[key] for key, name in names.items()}


def _techniques(arms: Sequence[Arm], swept: Mapping[str, str]) -> dict[str, list[Hashable]]:
    told = {key.split(".")[1] for key in swept if key.startswith("regularizer.")}
    sets = [arm.techniques - told for arm in arms]
    different = set(sets)
    if len(different) < 2:
        return {}
    every = frozenset().union(*different)
    if sum(map(len, different)) == len(every) > 1:  # none of them is in two combinations
        return {"regularizer": list(sets)}
    varying = sorted(every - frozenset.intersection(*different))
    return {name: [name in own for own in sets] for name in varying}


def _grouped(values: Sequence[str | None]) -> list[Hashable]:
    """The values; in quarters if most are different numbers; of what else is mostly different nothing is known."""
    known = [value for value in values if value is not None]
    if 2 * len(set(known)) <= len(known):
        return list(values)
    try:
        order = sorted(set(map(float, known)))
    except ValueError:
        return []
    if len(order) < 2 * QUARTERS:
        return []
    return [None if value is None else order.index(float(value)) * QUARTERS // len(order) for value in values]


def _squares(values: Sequence[float]) -> float:
    mean = statistics.fmean(values)
    return sum((value - mean) ** 2 for value in values)
