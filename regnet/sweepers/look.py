"""A look at the records of a sequential study: what is decided, and which arms more seeds would say something of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..report.compare import POWER, Comparison, compare
from ..report.content import titles
from ..report.family import ALPHA
from ..report.study import Arm, Study, pairing, studies
from ..run.record import RecordedRun


def looks(runs: Iterable[RecordedRun], seeds: int, budget: int, margin: float | None) -> dict[str, "Look"]:
    """At each study by its title; runs of an earlier study of the same name may not say that seeds are bought."""
    compared = [replace(study, anytime=True, margin=margin) for study in studies(runs)]
    return {title: Look(study, seeds, budget) for title, study in zip(titles(compared), compared, strict=True)}


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
