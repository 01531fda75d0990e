"""The plan of a study in words, a line for each thing."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..core.spelling import short
from ..packed.launcher import PackedLauncher
from ..report.study import Study, pairing
from .estimate import Estimate, Workshop, data_bytes, estimates, grouped
from .power import POWER, Spread, detectable, spread
from .study import PlannedStudy

STAND_INS = 8  # kinds of runs that are tried where results decide which there will be


def told(study: PlannedStudy, launcher: Any, earlier: str | None, start: float) -> Iterator[str]:
    """The lines, as soon as each is known.

    Args:
        launcher: the study's.
        earlier: the folder of a study whose spread is taken; None without one.
        start: when the command began, by `time.monotonic`.

    Raises:
        UserError: a mistake in the overrides, or `earlier` has no spread.
    """
    yield f"study    {_study(study)}"
    yield f"runs     {_runs(study)}"
    spreads = spread(earlier) if earlier is not None else []
    packs = isinstance(launcher, PackedLauncher)
    workshop = Workshop(launcher.size if isinstance(launcher, PackedLauncher) else None)
    groups = grouped(study.left, packs)
    if groups:
        workshop.read(groups[0].jobs[0])
        began = time.monotonic() - start
        found = estimates(groups, workshop, None if study.known else STAND_INS)
        yield from (f"launch   {line}" for line in _launch(found))
        yield f"time     {_time(found, began, packs)}"
        yield f"memory   {_memory(found, workshop)}"
        yield f"disk     {_disk(found)}"
    for one in study.studies if study.known else ():
        yield f"seeds    {_seeds(one, spreads)}"


def _study(study: PlannedStudy) -> str:
    state = "goes on" if study.folder.is_dir() else "is new"
    return f"{study.folder}, which {state}"


def _runs(study: PlannedStudy) -> str:
    if not study.known:
        return (
            f"at most {len(study.jobs)}, as results decide which; those that are finished already are not trained again"
        )
    parts = [_crossed(one) for one in study.studies]
    line = f"{len(study.jobs)}: " + ", and on other data ".join(parts)
    done = len(study.done)
    return f"{line}; {done} finished, {len(study.jobs) - done} to train" if done else line


def _crossed(study: Study) -> str:
    pairs = {pairing(run)[:2] for arm in study.arms for run in arm.runs}
    seeds, splits = (len(set(part)) for part in zip(*pairs, strict=True))
    return f"{_count(len(study.arms), 'arm')} x {_count(seeds, 'seed')} x {_count(splits, 'split')}"


def _launch(found: Sequence[Estimate]) -> Iterator[str]:
    packs = [len(one.group.jobs) for one in found if one.group.packed]
    if packs:
        sizes = f" of {min(packs)} to {max(packs)}" if min(packs) < max(packs) else f" of {packs[0]}"
        yield f"{_count(sum(packs), 'run')} in {_count(len(packs), 'pack')}{sizes}"
    alone = [one for one in found if not one.group.packed]
    why = Counter[str]()
    for one in alone:
        why[one.group.why] += len(one.group.jobs)
    for reason, count in why.items():
        yield f"{_count(count, 'run')} one by one" + (f": {reason}" if reason else "")


def _time(found: Sequence[Estimate], began: float, packs: bool) -> str:
    known = [one for one in found if one.seconds is not None]
    line = ""
    if known:
        trained = sum(one.seconds or 0.0 for one in known)
        line = (
            f"about {duration(trained + began)}: {duration(began)} to start and {duration(trained)} to train"
            f"{'' if packs else ', one after the other'}; the page of the report comes on top. Timed just now: a few "
            "steps of each kind of run, with all that this machine does beside"
        )
    for reason, count in Counter(one.reason for one in found if one.seconds is None).items():
        line += f"{'; ' if line else ''}{_count(count, 'group')} of runs could not be timed: {reason}"
    return line


def _memory(found: Sequence[Estimate], workshop: Workshop) -> str:
    line = f"data {size(data_bytes(workshop.read_data))}"
    packed = [one for one in found if one.room is not None]
    if not packed:
        return line
    largest = max(packed, key=lambda one: one.kept * (one.room or 0))
    together = largest.room or 0
    return (
        f"{line}; a pack {size(largest.kept * together)}: {size(largest.kept)} a run, "
        f"{together} of {len(largest.group.jobs)} at a time"
    )


def _disk(found: Sequence[Estimate]) -> str:
    folders = _count(sum(len(one.group.jobs) for one in found), "folder")
    return f"about {size(sum(one.disk for one in found))} in {folders}"


def _seeds(study: Study, spreads: Sequence[Spread]) -> str:
    pairs = {pairing(run)[:2] for arm in study.arms for run in arm.runs}
    family = len(study.arms) - 1
    if family < 1:
        return "one arm only, so that there is nothing to compare"
    least = detectable(pairs, family)
    if least is None:
        return f"{_count(len(pairs), 'run')} of an arm: too few, as a difference is tested from three on"
    line = f"{_count(family, 'comparison')} with {POWER:.0%} power at .05 over all: a difference is told from"
    if not spreads:
        return f"{line} {least:.2g} standard deviations of the paired differences on (from=STUDY: in the metric's unit)"
    values = " or ".join(f"{one.value(least)} ({_count(one.arms, 'comparison')} there)" for one in spreads)
    return f"{line} {values} on, if differences are spread as in the earlier study"


def duration(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{short(seconds / length, 2)} {unit}"
    return f"{short(seconds, 2) if seconds < 10 else round(seconds)} s"


def size(count: float) -> str:
    """Bytes, in the unit that makes a number below 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{short(count, 3)} {unit}"
        count /= 1000
    return f"{short(count, 3)} TB"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
