"""Whether another metric would have had another answer."""

from collections.abc import Mapping, Sequence

from ..run.record import RecordedRun
from .answer import Answer
from .compare import compare
from .study import Study
from .wording import difference, differences


def primaries(runs: Sequence[RecordedRun]) -> list[str]:
    """Of each measure of these runs the first of its numbers that is better one way, and that a run has."""
    found: dict[str, str] = {}
    for run in runs:
        for measure, known in run.measures.items():
            first = next((number for number, scale in known["scales"].items() if scale[0]), None)
            if first is not None and run.metric("test", first) is not None:
                found.setdefault(measure, first)
    return list(dict.fromkeys(found.values()))


def disagreements(found: Answer, others: Mapping[str, Study]) -> list[str]:
    """A sentence for each other metric by which validation chooses another arm than `found` does: which, and whether
    the two can be told apart by it on test.

    Args:
        others: the same arms ranked by other metrics.
    """
    return [line for study in others.values() if (line := _disagreement(found, study))]


def _disagreement(found: Answer, study: Study) -> str:
    best = study.best()
    arm = next((arm for arm in study.arms if arm.label == found.best.label), None)
    if best is None or arm is None or arm in study.ties:
        return ""
    pair = next(pair for pair in compare(study.tuned(arm, best), best) if pair.arm is arm)
    told = f"By {study.metric} the best is {best.label}"
    if pair.gain is None or pair.interval is None:
        return f"{told}, not {arm.label}."
    amount = f"{difference(abs(pair.gain.mean), study.metric)}, {differences(pair.interval, study.metric)}"
    if not pair.decided:
        return f"{told}; {arm.label}, best by {found.study.metric}, is not distinguishable from it ({amount})."
    word = "worse" if pair.gain.mean < 0 else "better on test"
    return f"{told}; {arm.label}, best by {found.study.metric}, is decidedly {word} ({amount})."
