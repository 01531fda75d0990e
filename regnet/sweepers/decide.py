"""`hydra/sweeper=decide`: more seeds for the arms that are undecided, until it is decided which is best."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

from ..core.errors import UserError
from ..report.compare import POWER, Comparison, compare
from ..report.content import titles
from ..report.family import ALPHA
from ..report.study import Arm, Study, pairing, studies
from ..run.record import RecordedRun
from .base import repeats, say, whole
from .tune import TuneSweeper

SPLIT = "data.split_seed"
Job = tuple[str, ...]  # overrides: those that make an arm, or its seed


class DecideSweeper(TuneSweeper):
    """Trains every arm on `first` seeds, then `block` more at a time for the best and for what is not decided.

    The best is the arm that validation chooses. A rival is decided where its interval on test excludes 0, or lies
    within `report.margin`: it gets no more seeds. It does again where another arm becomes the best, from which it is
    not told. The end is where nothing is open, or where the seeds are spent. The intervals hold at any number of looks
    and for all pairs of arms at once (`regnet.report.sequential`), so that looking after every block, and going on
    later with more seeds, is no error. What is decided is what the report says of the same records.

    Every swept key but the seed makes arms. With `arms` each is first tuned, as `TuneSweeper` does, on the first seed.

    Args:
        first: seeds of the first block.
        block: seeds of each further one.
        arms: to be tuned and compared; none: those of the command line, as they are.
        params: keys and their values, before those of the command line; ``seed`` is the budget.
        trials: of tuning, for each arm.
    """

    def __init__(
        self,
        first: int = 5,
        block: int = 5,
        arms: Mapping[str, Mapping[str, str]] | None = None,
        params: Mapping[str, str] | None = None,
        trials: int = 8,
    ) -> None:
        super().__init__(arms or {}, params, trials)
        self.first, self.block = whole("first", first), whole("block", block)

    def sweep(self, arguments: list[str]) -> None:
        grid = self._grid(arguments)
        if self.arms:
            super().sweep(arguments)
        else:
            self.compare(*grid)

    def planned(self, arguments: Sequence[str]) -> list[list[list[str]]]:
        fixed, arms, seeds = self._grid(arguments)
        return super().planned(arguments) if self.arms else [[[*fixed, *arm, *seed] for arm in arms for seed in seeds]]

    def _grid(self, arguments: Sequence[str]) -> tuple[list[str], list[Job], list[list[str]]]:
        """What all runs share, the arms of the command line, and the seeds."""
        fixed, swept, repeated = self.sorted_out(arguments)
        if len(repeated.get(SPLIT, ())) > 1:
            line = self.overrides[SPLIT].input_line
            raise UserError(f"{line}: hydra/sweeper=decide looks at seeds of one split; give one number")
        for override in swept:
            if not override.is_discrete_sweep() and not self.arms:
                raise UserError(f"{override.input_line} must be a list of values: each is an arm")
        lists = [override for override in swept if override.is_discrete_sweep()]
        values = [[f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()] for o in lists]
        return fixed, list(product(*values)), repeats(repeated)

    def compare(self, fixed: Sequence[str], arms: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> None:
        each: list[Job] = list(map(tuple, arms))
        seeds: list[Job] = list(map(tuple, others))
        if len(each) < 2:
            raise UserError("hydra/sweeper=decide needs two arms or more to tell apart, such as regularizer=none,l2")
        jobs: dict[Path, Job] = {}
        runs: dict[tuple[Job, Job], RecordedRun] = {}
        wanted, count = each, min(self.first, len(seeds))
        while wanted:
            missing = [(arm, seed) for arm in wanted for seed in seeds[:count] if (arm, seed) not in runs]
            made = self.launch([[*fixed, *arm, "report.anytime=true", *seed] for arm, seed in missing])
            runs |= zip(missing, made, strict=True)
            jobs |= {run.folder: arm for (arm, _), run in zip(missing, made, strict=True)}
            compared = self._studies(runs.values())
            looks = [Look(study, count, len(seeds)) for study in compared]
            for title, look in zip(titles(compared), looks, strict=True):
                say(f"decide: {title and title + ': '}{look}")
            wanted = [jobs[arm.runs[0].folder] for look in looks for arm in look.wanted] if count < len(seeds) else []
            count = min(count + self.block, len(seeds))

    def _studies(self, runs: Iterable[RecordedRun]) -> list[Study]:
        """As the report sees them; runs of an earlier study of the same name may not say that seeds are bought."""
        margin = self.config.report.margin
        return [replace(study, anytime=True, margin=margin) for study in studies(runs)]


@dataclass(frozen=True)
class Look:
    """What is decided in a study after so many of the seeds of its budget."""

    study: Study
    seeds: int
    budget: int

    @cached_property
    def best(self) -> Arm | None:
        return self.study.best()

    @cached_property
    def pairs(self) -> list[Comparison]:
        """The best with each rival of which a run completed."""
        found = compare(self.study, self.best) if self.best else []
        return [pair for pair in found if pair.arm.completed]

    @property
    def open(self) -> list[Comparison]:
        return [pair for pair in self.pairs if not (pair.distinguishable or pair.equivalent or _same(pair))]

    @property
    def wanted(self) -> list[Arm]:
        """The arms that more seeds would say something of: the best and the open ones."""
        return [self.best, *(pair.arm for pair in self.open)] if self.best and self.open else []

    def __str__(self) -> str:
        if self.best is None:
            return f"{self.seeds} seeds: no run completed"
        groups = {
            "told from it": [pair.arm for pair in self.pairs if pair.distinguishable and not pair.equivalent],
            "as good": [pair.arm for pair in self.pairs if pair.equivalent],
            "the same in every number": [pair.arm for pair in self.pairs if _same(pair)],
            "open": [pair.arm for pair in self.open],
            "out, as no run completed": [arm for arm in self.study.arms if not arm.completed],
        }
        told = [f"{name}: {_listed(arms)}" for name, arms in groups.items() if arms]
        return "; ".join([f"{self.seeds} seeds: best on validation {self.best.label}", *told, self._end])

    @property
    def _end(self) -> str:
        if not self.open:
            return "decided"
        if self.seeds < self.budget:
            return f"{len(self.wanted)} arms get more seeds"
        return f"the seeds are spent{self._more}"

    @property
    def _more(self) -> str:
        """How many seeds would probably decide, if all open differences are what they seem."""
        needed = [pair.gain.needed(ALPHA / pair.family, POWER) if pair.gain else None for pair in self.open]
        known = [seeds for seeds in needed if seeds is not None]
        return f", and some {max(known)} would tell if the differences are what they seem" if known else ""


def _same(pair: Comparison) -> bool:
    """Whether all runs of both gave the same: a technique that does nothing would use up the seeds."""
    ours, theirs = ({pairing(run): run.metrics for run in arm.completed} for arm in (pair.arm, pair.baseline))
    shared = ours.keys() & theirs.keys()
    return bool(shared) and all(ours[key] == theirs[key] for key in shared)


def _listed(arms: Sequence[Arm], most: int = 6) -> str:
    more = [f"{len(arms) - most} more"] if len(arms) > most else []
    return ", ".join([*(arm.label for arm in arms[:most]), *more])
