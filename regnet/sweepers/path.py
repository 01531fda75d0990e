"""`hydra/sweeper=path`: a regularization path, from the largest useful strength down, each run begun at the last."""

import math
from collections.abc import Callable, Sequence

from omegaconf import OmegaConf

from ..errors import UserError
from ..runs import read_record
from .base import StudySweeper, folder_of, whole

USEFUL = 0.95  # of the loss of a network that knows nothing but how many classes there are
DECADES = 8  # that are looked through for the first strength


class PathSweeper(StudySweeper):
    """Trains at strengths λ_1 > λ_2 > ... > λ_n in equal ratios, each run from the chosen weights of the one before.

    λ_1 is the largest strength at which training still learns anything: the validation loss is below `USEFUL` times
    that of equal probabilities, ln C (of a regression: of the mean). It is looked for from the configured strength on,
    by tens, then by halves of the exponent; those runs are part of the study. Each seed has a path of its own.

    Args:
        key: of the strength, such as ``regularizer.proximal_l1.strength``.
        points: n.
        ratio: λ_n / λ_1.
    """

    def __init__(self, key: str, points: int = 12, ratio: float = 1e-3) -> None:
        super().__init__()
        self.key, self.points, self.ratio = key, whole("points", points, 2), ratio
        if not 0 < ratio < 1:
            raise UserError(f"hydra.sweeper.ratio={ratio} must be a number between 0 and 1")

    def sweep(self, arguments: list[str]) -> None:
        fixed, swept, seeds = self.given(arguments)
        if swept:
            raise UserError(f"{swept[0].input_line}: a path sweeps {self.key} by itself, and else only seeds")
        fixed = [override for override in fixed if not override.startswith(f"{self.key}=")]
        start = OmegaConf.select(self.config, self.key)
        if not isinstance(start, int | float) or start <= 0:
            raise UserError(
                f"hydra.sweeper.key={self.key} must name the strength of a chosen regularizer, and is {start}"
            )
        largest = self._largest(float(start), lambda strength: self._is_useful(fixed, strength, seeds[0]))
        print(f"path: {self.key} from {largest:g} down to {largest * self.ratio:g} in {self.points} steps", flush=True)
        before: list[str | None] = [None] * len(seeds)
        for i in range(self.points):
            strength = _short(largest * self.ratio ** (i / (self.points - 1)))
            jobs = [self._job(fixed, strength, seed, warm) for seed, warm in zip(seeds, before, strict=True)]
            before = [folder_of(result) or warm for result, warm in zip(self.launch(jobs), before, strict=True)]

    def _largest(self, start: float, useful: Callable[[float], bool]) -> float:
        """The largest useful strength, to a factor of 10^(1/4)."""
        up = useful(start)
        strength = start
        for _ in range(DECADES):
            following = strength * 10 if up else strength / 10
            if useful(following) != up:
                break
            strength = following
        else:
            raise UserError(
                f"{self.key}: no end of the useful strengths from {start:g} to {strength:g}; give another one"
            )
        low = math.log10(min(strength, following))
        for step in (0.5, 0.25):
            low += step if useful(10 ** (low + step)) else 0
        return _short(10**low)

    def _is_useful(self, fixed: Sequence[str], strength: float, seed: int) -> bool:
        (result,) = self.launch([self._job(fixed, _short(strength), seed, None)])
        folder = folder_of(result)
        if folder is None:
            return False  # it diverged
        record = read_record(folder)
        classes = record["config"]["data"]["num_classes"]
        return record["metrics"]["val"]["loss"] < USEFUL * (math.log(classes) if classes else 1.0)

    def _job(self, fixed: Sequence[str], strength: float, seed: int, warm: str | None) -> list[str]:
        start = [] if warm is None else [f"warm_start='{warm}'"]
        return [*fixed, f"{self.key}={strength:g}", *start, f"seed={seed}"]


def _short(value: float) -> float:
    return float(f"{value:.3g}")
