"""`hydra/sweeper=refine`: a grid, then points between the best and its neighbours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hydra.core.override_parser.types import Override

from ..core.errors import UserError
from ..core.overrides import written
from .base import StudySweeper, bare, key_of, repeats, say, whole
from .score import Score, best, mean, score_of
from .space import has_whole, rounded

DECADE = 10
Arm = tuple[str, ...]  # values of the other swept keys, as overrides


@dataclass(frozen=True)
class Grid:
    """What a refinement begins with.

    Args:
        fixed: overrides that all runs share.
        name: of the refined key, with its sign.
        values: of it.
        whole: whether it has whole numbers.
        arms: each has a best of its own.
        without: arms to which the key means nothing.
        again: seed and split of the runs that one mean is of.
    """

    fixed: list[str]
    name: str
    values: list[float]
    whole: bool
    arms: list[Arm]
    without: list[Arm]
    again: list[list[str]]

    def jobs(self, points: Sequence[tuple[Arm, float]], without: Sequence[Arm] = ()) -> list[list[str]]:
        settings = [[*arm, f"{self.name}={written(value)}"] for arm, value in points] + [list(arm) for arm in without]
        return [[*self.fixed, *own, *run] for own in settings for run in self.again]


class RefineSweeper(StudySweeper):
    """Trains the whole grid, then `rounds` times the points halfway from the best value of one key to its neighbours.

    Halfway is (a + b) / 2, and √(ab) where a and b are a decade or more apart; of a key of whole numbers the nearest
    one. Every combination of the other swept keys has its own best; one for which the key means nothing, such as `none`
    beside a strength, is trained once. Seeds and splits are averaged; validation decides. A best value at the grid's
    edge stays there: the report then says in which direction to look.

    Args:
        key: that is refined, of numbers, such as ``regularizer.dropout.rate``.
        rounds: each halves the distance to the neighbours.
        params: keys and their values, before those of the command line.
    """

    def __init__(self, key: str, rounds: int = 2, params: dict[str, str] | None = None) -> None:
        super().__init__(params)
        self.key, self.rounds = key_of(key), whole("rounds", rounds, 0)

    def planned(self, arguments: Sequence[str]) -> list[list[list[str]]]:
        grid = self._grid(arguments)
        first = grid.jobs([(arm, value) for arm in grid.arms for value in grid.values], grid.without)
        later = grid.jobs([(arm, value) for arm in grid.arms for value in grid.values[:2]])  # a best has two neighbours
        return [first, *(later for _ in range(self.rounds))]

    def sweep(self, arguments: list[str]) -> None:
        grid = self._grid(arguments)
        scores: dict[Arm, dict[float, Score]] = {arm: {} for arm in grid.arms}
        wanted: dict[Arm, list[float]] = {arm: list(grid.values) for arm in grid.arms}
        for number in range(self.rounds + 1):
            points = [(arm, value) for arm, values in wanted.items() for value in values]
            runs = iter(self.launch(grid.jobs(points, [] if number else grid.without)))
            for arm, value in points:
                scores[arm][value] = mean([score_of(next(runs)) for _ in grid.again])
            wanted = {}
            for arm, own in scores.items():
                if (place := best(list(own.values()))) is None:
                    say(f"refine: no value of {' '.join([*arm, self.key])} completed on all seeds")
                    continue
                value = list(own)[place]
                wanted[arm] = _around(value, sorted(own), grid.whole)
                told = " ".join([*arm, f"{self.key}={value:g}"])
                say(f"refine: round {number + 1}, best {own[value].metric} {own[value].value:.4g} at {told}")
            if not any(wanted.values()):
                return

    def _grid(self, arguments: Sequence[str]) -> Grid:
        fixed, swept, repeated = self.sorted_out(arguments)
        refined = next((override for override in swept if override.key_or_group == self.key), None)
        values = _numbers(refined) if refined else []
        if refined is None or len(values) < 3:
            raise UserError(f"hydra.sweeper.key={self.key} must be swept over three numbers or more")
        others = [[f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()] for o in swept if o is not refined]
        every = list(product(*others))
        arms = [arm for arm in every if self._acts(fixed, arm, refined)]
        if not arms:
            raise UserError(f"hydra.sweeper.key={self.key} means nothing to any regularizer of this study")
        without = [arm for arm in every if arm not in arms]
        is_whole = self._is_whole([*fixed, *arms[0]], values)
        return Grid(fixed, refined.get_key_element(), values, is_whole, arms, without, repeats(repeated))

    def _acts(self, fixed: Sequence[str], arm: Sequence[str], refined: Override) -> bool:
        option = next((bare(text).partition("=")[2] for text in arm if bare(text).startswith("regularizer=")), None)
        return option is None or self.acts(fixed, option, refined)

    def _is_whole(self, job: Sequence[str], grid: Sequence[float]) -> bool:
        """Whether there is nothing between 1 and 2: a whole number in the config, or a new key of whole numbers."""
        return all(isinstance(value, int) for value in grid) and has_whole(self.composed(job), self.key) is not False


def _around(value: float, values: list[float], whole_numbers: bool) -> list[float]:
    """Halfway from the best to its neighbours among `values`, where something lies between."""
    place = values.index(value)
    pairs = [sorted((value, values[i])) for i in (place - 1, place + 1) if 0 <= i < len(values)]
    found = [round(_halfway(*pair)) if whole_numbers else float(rounded(_halfway(*pair), *pair)) for pair in pairs]
    return [between for between in found if between not in values]


def _halfway(a: float, b: float) -> float:
    return math.sqrt(a * b) if 0 < DECADE * a <= b else (a + b) / 2


def _numbers(override: Override) -> list[float]:
    values: list[Any] = list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise UserError(f"{override.input_line} must be a list of numbers, as it is refined")
    if not all(map(math.isfinite, values)):
        raise UserError(f"{override.input_line} must be finite numbers, as it is refined")
    return list(dict.fromkeys(values))
