"""What a report says, before any form is given to it: each study with its baseline and its answer, and the ranks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.errors import UserError, shown
from ..run.record import RecordedRun, flat
from .answer import Answer, answer
from .compare import check_baseline, find_baseline
from .mixed import notes
from .ranking import Ranking, rank
from .sentences import headline, sentences
from .study import Arm, Study, studies


@dataclass(frozen=True)
class Section:
    """One study. Its title is what parts it from the others of the report, empty where there are none."""

    title: str
    study: Study
    baseline: Arm | None
    answer: Answer | None

    @property
    def sentences(self) -> list[str]:
        """The answer in words, the most important first, and what the study mixes; none where no run has a result."""
        return [*sentences(self.answer), *notes(self.study)] if self.answer else []

    @property
    def headline(self) -> str:
        """What is best and what it gains, in a line; empty where no run has a result."""
        return " ".join(headline(self.answer)) if self.answer else ""

    @property
    def tuned(self) -> Study | None:
        """Each technique at the settings that validation chose; None where that is all arms, or a single one."""
        tuned = self.study.tuned(*[self.baseline] if self.baseline else [])
        return tuned if 1 < len(tuned.arms) < len(self.study.arms) else None


@dataclass(frozen=True)
class Content:
    """All that a report tells; `baseline` is the name that was asked for."""

    runs: tuple[RecordedRun, ...]
    sections: tuple[Section, ...]
    ranking: Ranking | None
    baseline: str | None = None

    @property
    def studies(self) -> list[Study]:
        return [section.study for section in self.sections]

    @property
    def headlines(self) -> list[str]:
        """Of each study what is best and what it gains, in a line."""
        told = [(section.title, section.headline) for section in self.sections if section.answer]
        return [f"{title}: {text}" if title else text for title, text in told]


def content(
    runs: Sequence[RecordedRun],
    baseline: str | None = None,
    others: Sequence[str] = (),
    margin: float | None = None,
    anytime: bool = False,
) -> Content:
    """Group, compare and answer.

    Args:
        runs: all that were found, those without a result too.
        baseline: the arm to compare with, see `find_baseline`.
        others: metrics that are told besides, by the names of `record.flat`; nothing is ranked by them.
        margin: instead of that of the runs, see `Study`.
        anytime: whether there were earlier looks, also where the runs do not say so.

    Raises:
        UserError: the baseline is not among the runs, or no run has such a metric.
    """
    _check_logged(runs, others)
    named = tuple(dict.fromkeys(others))
    compared = [
        replace(study, others=named, margin=margin or study.margin, anytime=anytime or study.anytime)
        for study in studies(runs)
    ]
    if baseline is not None:
        check_baseline(compared, baseline)
    sections = []
    for title, study in zip(titles(compared), compared, strict=True):
        reference = find_baseline(study, baseline)
        sections.append(Section(title, study, reference, answer(study, reference)))
    return Content(tuple(runs), tuple(sections), rank(compared, baseline), baseline)


def _check_logged(runs: Sequence[RecordedRun], names: Sequence[str]) -> None:
    known = dict.fromkeys(name for run in runs for name in flat(run.metrics))
    for name in names:
        if name not in known:
            raise UserError(f"--metric {shown(name)} is in no record; these are: {', '.join(known) or 'none'}")


def titles(compared: Sequence[Study]) -> list[str]:
    """For each study the settings that it does not share with all others, or else its number."""
    if len(compared) < 2:
        return [""] * len(compared)
    shared = set.intersection(*(set(study.common) for study in compared))
    own = [" ".join(text for text in study.common if text not in shared) for study in compared]
    return [
        text if text and own.count(text) == 1 else f"study {number}{text and ': ' + text}"
        for number, text in enumerate(own, 1)
    ]
