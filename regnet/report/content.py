"""What a report says, before any form is given to it: each study with its baseline and its answer, and the ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ..core.errors import UserError, shown
from ..core.metrics import Metric
from ..run.record import RecordedRun, flat
from .against import asked, told
from .answer import Answer, answer
from .compare import check_baseline, find_baseline
from .disagreement import disagreements, primaries
from .mixed import notes
from .ranking import Ranking, rank
from .sentences import headline, sentences
from .study import Arm, Study, scales_of, studies
from .values import described


@dataclass(frozen=True)
class Section:
    """One study. Its title is what parts it from the others of the report, empty where there are none."""

    title: str
    study: Study
    baseline: Arm | None
    answer: Answer | None
    others: Mapping[str, Study] = field(default_factory=dict)  # its arms ranked by other metrics

    @cached_property
    def sentences(self) -> list[str]:
        """The answer in words, the most important first, what other metrics say against it, and what the study mixes;
        none where no run has a result."""
        if self.answer is None:
            return []
        return [
            *sentences(self.answer),
            *disagreements(self.answer, self.others),
            *told(self.study),
            *notes(self.study),
        ]

    @cached_property
    def headline(self) -> str:
        """What is best and what it gains, in a line; empty where no run has a result."""
        return " ".join(headline(self.answer)) if self.answer else ""

    @cached_property
    def tuned(self) -> Study | None:
        """Each technique at the settings that validation chose; None where that is all arms, or a single one."""
        tuned = self.study.tuned(*[self.baseline] if self.baseline else [])
        return tuned if 1 < len(tuned.arms) < len(self.study.arms) else None


@dataclass(frozen=True)
class Content:
    """All that a report tells; `baseline` is the name that was asked for.

    `settings` are those that set a run apart from others, by its folder; of damaged records nothing is known.
    """

    runs: tuple[RecordedRun, ...]
    sections: tuple[Section, ...]
    ranking: Ranking | None
    settings: Mapping[Path, Mapping[str, str]]
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
    against: str | None = None,
) -> Content:
    """Group, compare and answer.

    Args:
        runs: all that were found, those without a result too.
        baseline: the arm to compare with, see `find_baseline`.
        others: metrics. One by its name alone, such as ``robust_accuracy``, is that by which arms are judged; those by
            the names of `record.flat`, such as ``val/nll``, are told besides.
        margin: instead of that of the runs, see `Study`.
        anytime: whether there were earlier looks, also where the runs do not say so.
        against: a metric beside which arms are seen by their own.

    Raises:
        UserError: the baseline is not among the runs, no run has such a metric, or nothing says which way one is
            better by which arms are to be judged.
    """
    metric, named = _asked(runs, others)
    measured, scales = primaries(runs), scales_of(runs)
    beside = None if against is None else asked(runs, against)

    def by(metric: str | None) -> list[Study]:
        return [replace(study, anytime=anytime or study.anytime) for study in studies(runs, metric)]

    compared = [
        replace(
            study,
            others=(*named, *(Metric(f"test/{name}", scales[name]) for name in measured if name != study.metric)),
            margin=margin or study.margin,
            against=beside,
        )
        for study in by(metric)
    ]
    rivals = [by(name) for name in dict.fromkeys([*measured, *[None] * (metric is not None)])]
    if baseline is not None:
        check_baseline(compared, baseline)
    sections = []
    for index, (title, study) in enumerate(zip(titles(compared), compared, strict=True)):
        reference = find_baseline(study, baseline)
        by_others = {ranked[index].metric: ranked[index] for ranked in rivals if ranked[index].metric != study.metric}
        sections.append(Section(title, study, reference, answer(study, reference), by_others))
    known = described(run for run in runs if run.status != "damaged")
    settings = {folder: one.settings for folder, one in known.items()}
    return Content(tuple(runs), tuple(sections), rank(compared, baseline), settings, baseline)


def _asked(runs: Sequence[RecordedRun], names: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """The metric by which arms are to be judged, None for their own; and those that are told besides."""
    known = dict.fromkeys(name for run in runs for name in flat(run.metrics))
    judging = dict.fromkeys(name for name in names if name not in known and f"val/{name}" in known)
    for name in names:
        if name not in known and name not in judging:
            raise UserError(f"--metric {shown(name)} is in no record; these are: {', '.join(known) or 'none'}")
    if len(judging) > 1:
        first, second, *_ = judging
        raise UserError(f"--metric {first} --metric {second}: only one can judge; --metric test/{second} shows it")
    for name in judging:
        if name not in (scales := scales_of(runs)) or not scales[name].better:
            raise UserError(f"--metric {name}: nothing says which way it is better; --metric test/{name} shows it")
    return next(iter(judging), None), tuple(dict.fromkeys(name for name in names if name not in judging))


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
