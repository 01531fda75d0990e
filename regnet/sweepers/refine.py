"""`hydra/sweeper=refine`: a grid, then points between the best and its neighbours."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.types import Override

from ..core.errors import UserError
from ..core.overrides import written
from .base import StudySweeper, bare, key_of, repeats, say, whole
from .score import Score, best, mean, score_of
from .space import has_whole, rounded

DECADE = 10


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

    def sweep(self, arguments: list[str]) -> None:
        fixed, swept, repeated = self.sorted_out(arguments)
        refined = next((override for override in swept if override.key_or_group == self.key), None)
        grid = _numbers(refined) if refined else []
        if refined is None or len(grid) < 3:
            raise UserError(f"hydra.sweeper.key={self.key} must be swept over three numbers or more")
        others = [[f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()] for o in swept if o is not refined]
        arms = list(product(*others))
        refinable = [arm for arm in arms if self._acts(fixed, arm, refined)]
        if not refinable:
            raise UserError(f"hydra.sweeper.key={self.key} means nothing to any regularizer of this study")
        whole_numbers = self._is_whole([*fixed, *refinable[0]], grid)
        self.fixed, self.name, self.again = fixed, refined.get_key_element(), repeats(repeated)
        scores: dict[tuple[str, ...], dict[float, Score]] = {arm: {} for arm in refinable}
        wanted: dict[tuple[str, ...], list[float]] = dict.fromkeys(refinable, grid)
        without = [arm for arm in arms if arm not in refinable]
        for number in range(self.rounds + 1):
            self._train(scores, wanted, [] if number else without)
            wanted = {}
            for arm, own in scores.items():
                if (place := best(list(own.values()))) is None:
                    say(f"refine: no value of {' '.join([*arm, self.key])} completed on all seeds")
                    continue
                value = list(own)[place]
                wanted[arm] = _around(value, sorted(own), whole_numbers)
                told = " ".join([*arm, f"{self.key}={value:g}"])
                say(f"refine: round {number + 1}, best {own[value].metric} {own[value].value:.4g} at {told}")
            if not any(wanted.values()):
                return

    def _train(
        self,
        scores: dict[tuple[str, ...], dict[float, Score]],
        wanted: dict[tuple[str, ...], list[float]],
        without: Sequence[tuple[str, ...]],
    ) -> None:
        """Trains the wanted values of each arm, and the arms `without` the key; puts the means into `scores`."""
        points = [(arm, value) for arm, values in wanted.items() for value in values]
        settings = [[*arm, f"{self.name}={written(value)}"] for arm, value in points] + [list(arm) for arm in without]
        jobs = [[*self.fixed, *own, *run] for own in settings for run in self.again]
        runs = iter(self.launch(jobs))
        for arm, value in points:
            scores[arm][value] = mean([score_of(next(runs)) for _ in self.again])

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
