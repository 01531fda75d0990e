"""`hydra/sweeper=refine`: a grid, then points between the best and its neighbours."""

from itertools import product
from statistics import fmean

from hydra.core.override_parser.types import Override

from ..errors import UserError
from .base import StudySweeper, whole


class RefineSweeper(StudySweeper):
    """Trains the whole grid, then `rounds` times the midpoints on both sides of the best value of one key.

    Every combination of the other swept keys has its own best. Seeds are averaged; validation decides.

    Args:
        key: that is refined, of numbers, such as ``regularizer.dropout.rate``.
        rounds: each halves the distance to the neighbours.
        params: keys and their values, before those of the command line.
    """

    def __init__(self, key: str, rounds: int = 2, params: dict[str, str] | None = None) -> None:
        super().__init__(params)
        self.key, self.rounds = key, whole("rounds", rounds, 0)

    def sweep(self, arguments: list[str]) -> None:
        fixed, swept, seeds = self.given(arguments)
        grid = next((_numbers(override) for override in swept if override.key_or_group == self.key), None)
        if grid is None or len(grid) < 3:
            raise UserError(f"hydra.sweeper.key={self.key} must be swept over three numbers or more")
        others = [list(o.sweep_string_iterator()) for o in swept if o.key_or_group != self.key]
        names = [o.get_key_element() for o in swept if o.key_or_group != self.key]
        arms = [tuple(f"{n}={v}" for n, v in zip(names, values, strict=True)) for values in product(*others)]
        scores: dict[tuple[str, ...], dict[float, float]] = {arm: {} for arm in arms}
        wanted = dict.fromkeys(arms, grid)
        for number in range(self.rounds + 1):
            points = [(arm, value) for arm in arms for value in wanted[arm]]
            results = iter(
                self.launch([[*fixed, *arm, f"{self.key}={v:g}", f"seed={s}"] for arm, v in points for s in seeds])
            )
            for arm, value in points:
                scores[arm][value] = fmean(float(next(results).return_value) for _ in seeds)
            for arm in arms:
                wanted[arm] = self._between(scores[arm])
                best = list(scores[arm])[self.best(list(scores[arm].values()))]
                told = " ".join([*arm, f"{self.key}={best:g}"])
                print(f"refine: round {number + 1}, best {self.config.monitor} {scores[arm][best]:.4g} at {told}")

    def _between(self, scores: dict[float, float]) -> list[float]:
        values = sorted(scores)
        place = values.index(list(scores)[self.best(list(scores.values()))])
        near = [values[i] for i in (place - 1, place + 1) if 0 <= i < len(values)]
        return [float(f"{(values[place] + other) / 2:.4g}") for other in near]


def _numbers(override: Override) -> list[float]:
    values = list(override.sweep_iterator())
    if not all(isinstance(value, int | float) for value in values):
        raise UserError(f"{override.input_line} must be numbers, as it is refined")
    return [float(value) for value in values]
