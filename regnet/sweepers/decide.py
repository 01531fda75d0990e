"""`hydra/sweeper=decide`: more seeds for the arms that are undecided, until it is decided which is best."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..run.record import RecordedRun
from .base import repeats, say, whole
from .tune import TuneSweeper

if TYPE_CHECKING:
    from .look import Look

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
            looks = self._looks(runs.values(), count, len(seeds))
            for title, look in looks.items():
                say(f"decide: {title and title + ': '}{look}")
            wanted = (
                [jobs[arm.runs[0].folder] for look in looks.values() for arm in look.wanted]
                if count < len(seeds)
                else []
            )
            count = min(count + self.block, len(seeds))

    def _looks(self, runs: Iterable[RecordedRun], seeds: int, budget: int) -> "dict[str, Look]":
        """At each study by its title, as the report sees them after so many of the seeds."""
        from .look import looks  # imports the report's statistics, for which no `--help` should wait

        return looks(runs, seeds, budget, self.config.report.margin)
