"""`hydra/sweeper=path`: a regularization path between the largest useful strength and a small part of it."""

import math
from collections.abc import Callable, Sequence

from omegaconf import OmegaConf

from ..core.errors import UserError
from ..core.overrides import written
from ..run.record import RecordedRun
from .base import StudySweeper, flag, key_of, repeats, say, whole

SUFFIX = "-probes"
USEFUL = 0.95  # of the loss of a network that has learned nothing from its inputs
DECADES = 8  # that are looked through for the first strength


class PathSweeper(StudySweeper):
    """Trains at strengths λ_1 > λ_2 > ... > λ_n in equal ratios, each run from the chosen weights of the one before.

    With `up` it goes from λ_n to λ_1: from dense to sparse. A convex model has the same path both ways. A network has
    not: a unit without weights gets no gradient, and stays lost when the strength falls. LassoNet (Lemhadri et al.
    2021) goes from dense to sparse.

    λ_1 is the largest strength at which training still learns anything: the validation loss is below `USEFUL` times
    that of a network which knows nothing of its inputs, as a run at 10^`DECADES` times the configured strength shows
    it, and at most that of equal probabilities, ln C (of a regression: of the mean). It is looked for from the
    configured strength on, by tens, then by halves of the exponent, on the first seed and split; those runs are in a
    study of their own, ``<study>-probes``. Each seed, and each split, has a path of its own.

    Args:
        key: of the strength, such as ``regularizer.proximal_l1.strength``.
        points: n.
        ratio: λ_n / λ_1.
        up: whether the smallest comes first.
    """

    def __init__(self, key: str, points: int = 12, ratio: float = 1e-3, up: bool = False) -> None:
        super().__init__()
        self.key, self.points, self.ratio, self.up = key_of(key), whole("points", points, 2), ratio, flag("up", up)
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio < 1:
            raise UserError(f"hydra.sweeper.ratio={ratio} must be a number between 0 and 1")

    def planned(self, arguments: Sequence[str]) -> list[list[list[str]]]:
        fixed, start, paths = self._begin(arguments)
        probes = 1 + (1 + DECADES) + 2  # see `_loss` of the ignorant, and `_edge`
        points = [self._job(fixed, start, path, None) for path in paths]
        return [*([self._probe(fixed, start, paths[0])] for _ in range(probes)), *(points for _ in range(self.points))]

    def sweep(self, arguments: list[str]) -> None:
        fixed, start, paths = self._begin(arguments)
        largest = self._largest(fixed, start, paths[0])
        strengths = [_short(largest * self.ratio ** (i / (self.points - 1))) for i in range(self.points)]
        strengths = strengths[::-1] if self.up else strengths
        way = f"from {strengths[0]:g} {'up' if self.up else 'down'} to {strengths[-1]:g}"
        say(f"path: {self.key} {way} in {self.points} steps")
        before: list[RecordedRun | None] = [None] * len(paths)
        for strength in strengths:
            jobs = [self._job(fixed, strength, path, warm) for path, warm in zip(paths, before, strict=True)]
            runs = zip(self.launch(jobs), before, strict=True)
            before = [run if run.status == "completed" else warm for run, warm in runs]

    def _begin(self, arguments: Sequence[str]) -> tuple[list[str], float, list[list[str]]]:
        """What all runs share, the strength to look from, and the seed and the split of each path."""
        _, swept, repeated = self.sorted_out(arguments)
        if swept:
            raise UserError(
                f"{swept[0].input_line}: a path sweeps {self.key} by itself, and else only seeds and splits"
            )
        fixed, _, _ = self.sorted_out(arguments, apart={self.key})
        start = OmegaConf.select(self.config, self.key)
        if not isinstance(start, int | float) or start <= 0:
            raise UserError(
                f"hydra.sweeper.key={self.key} must name the strength of a chosen regularizer, and is {start}"
            )
        return fixed, float(start), repeats(repeated)

    def _largest(self, fixed: Sequence[str], start: float, path: Sequence[str]) -> float:
        """The largest useful strength, to a factor of 10^(1/4)."""
        ignorant = self._loss(fixed, start * 10**DECADES, path)
        return self._edge(start, lambda strength: self._loss(fixed, strength, path) < USEFUL * ignorant)

    def _loss(self, fixed: Sequence[str], strength: float, path: Sequence[str]) -> float:
        """On validation, and at most that of equal probabilities, which also stands for a run that diverged."""
        (run,) = self.launch([self._probe(fixed, _short(strength), path)])
        if run.status == "failed":
            raise UserError(f"{self.key}={_short(strength):g} failed, so that no path can begin: {run.reason}")
        classes = run.config["data"]["num_classes"]
        most = math.log(classes) if classes else 1.0
        loss = run.metric("val", "loss")
        return most if loss is None else min(loss, most)

    def _edge(self, start: float, useful: Callable[[float], bool]) -> float:
        up = useful(start)
        strength = start
        for _ in range(DECADES):
            following = strength * 10 if up else strength / 10
            if useful(following) != up:
                break
            strength = following
        else:
            raise UserError(
                f"{self.key}: training learns nothing at {start:g}, and still nothing at {strength:g}; "
                "give it more epochs or another optimizer.lr"
            )
        low = math.log10(min(strength, following))
        for step in (0.5, 0.25):
            low += step if useful(10 ** (low + step)) else 0
        return _short(10**low)

    def _probe(self, fixed: Sequence[str], strength: float, path: Sequence[str]) -> list[str]:
        return [*self._job(fixed, strength, path, None), *self.beside(SUFFIX)]

    def _job(self, fixed: Sequence[str], strength: float, path: Sequence[str], warm: RecordedRun | None) -> list[str]:
        start = [] if warm is None else [f"warm_start={written(str(warm.folder))}"]
        return [*fixed, f"{self.key}={strength:g}", *start, *path]


def _short(value: float) -> float:
    return float(f"{value:.3g}")
