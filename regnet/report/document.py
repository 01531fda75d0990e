"""The answer of a report as data: what `regnet-report --json` writes. docs/record.md says what each name is."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.files import asked_for
from .compare import Comparison, Interval, compare, score, score_interval
from .content import Content, Section
from .estimate import Estimate
from .study import Arm, Study

Data = dict[str, Any]


def write_json(told: Content, path: Path) -> None:
    """Write the document to a file, or for `-` to standard output.

    Raises:
        UserError: the file cannot be written.
    """
    text = json.dumps(document(told), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    with asked_for("--json", path):
        path.write_text(text, encoding="utf-8")


def document(told: Content) -> Data:
    """Every study with its answer; metrics in their own unit, an accuracy as a fraction; no number is NaN."""
    return {"studies": [_study(section) for section in told.sections]}


def _study(section: Section) -> Data:
    study, found = section.study, section.answer
    best = found.best if found else None
    reference = section.baseline or best
    pairs = _pairs(study, section.tuned, reference) if reference else {}
    return {
        "title": section.title,
        "metric": study.metric,
        "best": best and best.label,
        "baseline": section.baseline and section.baseline.label,
        "advised": bool(found and not found.too_short),
        "sentences": section.sentences,
        "arms": [_arm(arm, study.metric, pairs.get(arm.label)) for arm in study.arms],
    }


def _pairs(study: Study, tuned: Study | None, reference: Arm) -> dict[str, Comparison]:
    """By the labels of arms. Techniques at their chosen settings are compared among themselves, as in the answer."""
    families: Sequence[Study] = (study, tuned) if tuned else (study,)
    return {pair.arm.label: pair for family in families for pair in compare(family, reference)}


def _arm(arm: Arm, metric: str, pair: Comparison | None) -> Data:
    return {
        "label": arm.label,
        "settings": dict(arm.settings),
        "runs": len(arm.runs),
        "completed": len(arm.results(metric)),
        "val": _score(arm, "val", metric),
        "test": _score(arm, "test", metric),
        "gain": _gain(pair, pair.gain) if pair and pair.gain else None,
    }


def _score(arm: Arm, split: str, metric: str) -> Data | None:
    found = score(arm, split, metric)
    return None if found is None else {"mean": found.mean, **_ends(score_interval(found, metric)), "n": found.n}


def _gain(pair: Comparison, found: Estimate) -> Data:
    return {
        "over": pair.baseline.label,
        "mean": found.mean,
        **_ends(pair.interval),
        "n": found.n,
        "comparisons": pair.family,
        "p": pair.p,
        "decided": pair.decided,
        "margin": pair.margin,
        "equivalent": pair.equivalent,
        "g": _effect(pair),
        "wins": pair.wins and asdict(pair.wins),
        "last": pair.last and {"mean": pair.last.mean, **_ends(pair.last_interval)},
    }


def _effect(pair: Comparison) -> Data | None:
    return dict(zip(("mean", "low", "high"), pair.effect, strict=True)) if pair.effect else None


def _ends(interval: Interval | None) -> Data:
    low, high = interval or (None, None)
    return {"low": low, "high": high}
