"""What each regularizer gains on test over none: as it is by default, and which strength was the best that was tried.

    python scripts/benchmark.py gains FOLDER... [--save docs/gains.json]

Reads the records of `experiment=defaults` and `experiment=strengths`, each folder one study on one data set with one
network. An arm of which only `regularizer` was given is at its default; with a knob it is the best of its strengths.
Gains are paired by seed; each interval is Student's at 95 % by itself, not corrected for the number of entries.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regnet.report.compare import compare, find_baseline, score
from regnet.report.estimate import Estimate
from regnet.report.study import Arm, Study, studies
from regnet.run.record import RecordedRun, find_runs

Told = dict[str, Any]


def read(folder: Path) -> Iterator[tuple[str, Told, dict[str, Told]]]:
    """Of each study in the folder the name of its data, what was done there, and its entries.

    Raises:
        SystemExit: there is no run of none to compare with.
    """
    found = [(study, find_baseline(study)) for study in studies(find_runs(folder))]
    if not found or not all(baseline and baseline.completed for _, baseline in found):
        sys.exit(f"gains: there is no completed run of regularizer=none in {folder}")
    for study, baseline in found:
        run = baseline.completed[0]
        pairs = [pair for pair in compare(study, baseline) if pair.gain]
        entries = {pair.arm.technique.rpartition(" + ")[2]: told(pair.arm, pair.gain) for pair in pairs}
        yield chosen(run, "data"), about(run, baseline, study), entries


def told(arm: Arm, gain: Estimate) -> Told:
    """The gain of an arm, in the metric's own unit; the value of its knob where it was given."""
    found: Told = {"gain": round(gain.mean, 5), "half": half_width(gain), "n": gain.n}
    knobs = {key.rpartition(".")[2]: value for key, value in arm.settings.items() if key.startswith("regularizer.")}
    if knobs:
        found["knobs"] = {name: float(f"{float(value):.2g}") for name, value in knobs.items()}
    if (model := chosen(arm.completed[0], "model")) != "mlp":
        found["model"] = model
    return found


def about(run: RecordedRun, baseline: Arm, study: Study) -> Told:
    """On what it was measured."""
    none = score(baseline, "test", study.metric)
    assert none is not None  # a completed run has been measured
    return {
        "samples": run.config["data"]["num_samples"],
        "epochs": run.config["trainer"]["max_epochs"],
        "metric": study.metric,
        "none": round(none.mean, 5),
        "half": half_width(none),
        "version": run.version,
    }


def half_width(found: Estimate) -> float | None:
    """That of the 95 % interval; None where there is none, as of runs that are all alike."""
    half = found.half_width(0.95)
    return None if half is None else round(half, 5)


def chosen(run: RecordedRun, group: str) -> str:
    """The option of a config group; the default is the first that `regnet-train` has."""
    given = dict(text.split("=", 1) for text in run.overrides if "=" in text)
    return given.get(group, {"data": "digits", "model": "mlp"}[group])


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py gains", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--save", type=Path, help="the file that docs/catalogue.md takes its numbers from")
    arguments = parser.parse_args(argv)
    found: Told = {"data": {}, "defaults": {}, "strengths": {}}
    for folder in arguments.folders:
        for data, how, entries in read(folder):
            defaults = all("knobs" not in one for one in entries.values())
            if defaults and not any("model" in one for one in entries.values()):
                found["data"][data] = how
            for name, one in entries.items():
                found["strengths" if "knobs" in one else "defaults"].setdefault(name, {})[data] = one
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    print(text, end="") if arguments.save is None else arguments.save.write_text(text)
