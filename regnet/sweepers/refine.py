"""`hydra/sweeper=refine`: a grid, then points between the best and its neighbours."""

import math
from collections.abc import Sequence
from itertools import product
from statistics import fmean
from typing import Any

from hydra.core.override_parser.types import Override

from ..core.errors import UserError
from .base import StudySweeper, key_of, say, whole

DECADE = 10


class RefineSweeper(StudySweeper):
    """Trains the whole grid, then `rounds` times the points halfway from the best value of one key to its neighbours.

    Halfway is (a + b) / 2, and √(ab) where a and b are a decade or more apart. Every combination of the other swept
    keys has its own best. Seeds are averaged; validation decides. A best value at the grid's edge stays there: the
    report then says in which direction to look.

    Args:
        key: that is refined, of numbers, such as ``regularizer.dropout.rate``.
        rounds: each halves the distance to the neighbours.
        params: keys and their values, before those of the command line.
    """

    def __init__(self, key: str, rounds: int = 2, params: dict[str, str] | None = None) -> None:
        super().__init__(params)
        self.key, self.rounds = key_of(key), whole("rounds", rounds, 0)

    def planned(self, arguments: Sequence[str]) -> list[list[list[str]]]:
        fixed, name, grid, arms, seeds = self._grid(arguments)

        def batch(values: Sequence[float]) -> list[list[str]]:
            return [[*fixed, *arm, f"{name}={v:g}", f"seed={s}"] for arm in arms for v in values for s in seeds]

        return [batch(grid), *(batch(grid[:2]) for _ in range(self.rounds))]  # a best value has two neighbours

    def sweep(self, arguments: list[str]) -> None:
        fixed, name, grid, arms, seeds = self._grid(arguments)
        scores: dict[tuple[str, ...], dict[float, float]] = {arm: {} for arm in arms}
        wanted = dict.fromkeys(scores, grid)
        for number in range(self.rounds + 1):
            points = [(arm, value) for arm, values in wanted.items() for value in values]
            runs = iter(self.launch([[*fixed, *arm, f"{name}={v:g}", f"seed={s}"] for arm, v in points for s in seeds]))
            for arm, value in points:
                scores[arm][value] = fmean(self.score(next(runs)) for _ in seeds)
            wanted = {}
            for arm, own in scores.items():
                if (place := self.best(list(own.values()))) is None:
                    say(f"refine: no value of {' '.join([*arm, self.key])} completed on all seeds")
                    continue
                best = list(own)[place]
                wanted[arm] = _around(best, sorted(own))
                told = " ".join([*arm, f"{self.key}={best:g}"])
                say(f"refine: round {number + 1}, best {self.config.monitor} {own[best]:.4g} at {told}")
            if not wanted:
                return

    def _grid(self, arguments: Sequence[str]) -> tuple[list[str], str, list[float], list[tuple[str, ...]], list[int]]:
        """What all runs share, the refined key and its values, the arms that each have their best, and the seeds."""
        fixed, swept, seeds = self.sorted_out(arguments)
        refined = next((override for override in swept if override.key_or_group == self.key), None)
        grid = _numbers(refined) if refined else []
        if refined is None or len(grid) < 3:
            raise UserError(f"hydra.sweeper.key={self.key} must be swept over three numbers or more")
        name = refined.get_key_element()
        others = [[f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()] for o in swept if o is not refined]
        return fixed, name, grid, list(product(*others)), seeds


def _around(best: float, values: list[float]) -> list[float]:
    """Halfway from the best to its neighbours among `values`."""
    place = values.index(best)
    neighbours = [values[i] for i in (place - 1, place + 1) if 0 <= i < len(values)]
    return [float(f"{_halfway(*sorted((best, other))):.4g}") for other in neighbours]


def _halfway(a: float, b: float) -> float:
    return math.sqrt(a * b) if 0 < DECADE * a <= b else (a + b) / 2


def _numbers(override: Override) -> list[float]:
    values: list[Any] = list(override.sweep_iterator())
    if not all(isinstance(value, int | float) for value in values):
        raise UserError(f"{override.input_line} must be numbers, as it is refined")
    return list(dict.fromkeys(map(float, values)))
