"""The answer as data, which docs/record.md describes."""

import json
import math
import re
from pathlib import Path

import pytest

from regnet.report.content import content
from regnet.report.document import document
from regnet.run.record import find_runs
from tests.helpers.commands import report
from tests.helpers.records import KNOWN, add_run, classification, regression

ROOT = Path(__file__).parents[2]


def told(folder, **options):
    return document(content(list(find_runs(folder)), **options))["studies"]


def command(*arguments):
    return report(*map(str, arguments), cwd=ROOT)


def names(node, prefix=""):
    """Every name in the document under its path: `studies[].arms[].gain.p`; settings are the user's own."""
    if isinstance(node, list):
        return {prefix} | {name for item in node if isinstance(item, dict) for name in names(item, f"{prefix}[]")}
    if not isinstance(node, dict) or prefix.endswith("settings"):
        return {prefix}
    below = {name for key, item in node.items() for name in names(item, f"{prefix}.{key}".strip("."))}
    return below | ({prefix} if prefix and not prefix.endswith("[]") else set())


@pytest.fixture
def study(tmp_path):
    for name, val in (("none", 0.9), ("l2", 0.95), ("l1", 0.8)):
        for seed in range(4):
            noise = (0.002, -0.001, 0.0, 0.001)[seed * len(name) % 4]
            keys = [f"regularizer={name}", f"seed={seed}", "monitor=val/accuracy"]
            add_run(tmp_path, keys, classification(val, val + noise), last=classification(val, val - noise))
    return tmp_path


def test_the_page_on_the_record_names_all_of_it(study):
    page = (ROOT / "docs" / "record.md").read_text(encoding="utf-8")
    table = page.partition("## The answer as data")[2].partition("\n## ")[0]
    rows = [re.findall("`([^`]+)`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]
    documented = set()
    for paths in rows:
        first, *others = paths
        documented |= {first, *(f"{first.rpartition('.')[0]}.{name}" for name in others)}
    found = names({"studies": told(study)})
    assert found == documented


def test_numbers_are_in_the_unit_of_the_metric_and_agree_with_the_sentences(study):
    (one,) = told(study)
    assert (one["metric"], one["best"], one["baseline"], one["advised"]) == ("accuracy", "l2", "none", True)
    best, none, worst = one["arms"]
    assert (best["label"], best["runs"]) == ("l2", 4)
    assert best["settings"] == {"regularizer": "l2", "monitor": "val/accuracy"}
    assert best["val"]["mean"] == pytest.approx(0.95)
    half = 3.1824 * 0.0011547 / 2  # Student's t(3) · s / √4
    assert best["test"] == pytest.approx({"mean": 0.951, "low": 0.951 - half, "high": 0.951 + half, "n": 4}, abs=1e-6)
    assert none["gain"] is None
    gain = best["gain"]
    assert (gain["over"], gain["comparisons"], gain["decided"], gain["equivalent"]) == ("none", 2, True, False)
    assert gain["mean"] == pytest.approx(0.05, abs=2e-3)
    assert gain["low"] < gain["mean"] < gain["high"]
    told_of = f"{100 * gain['low']:+.2f} to {100 * gain['high']:+.2f}"
    assert f"95 % interval for 2 comparisons at once {told_of}" in " ".join(one["sentences"])
    assert worst["gain"]["mean"] == pytest.approx(-0.1, abs=2e-3)
    assert worst["gain"]["last"]["mean"] == pytest.approx(-0.2 - worst["gain"]["mean"])


def test_what_was_trained_too_short_is_not_decided(tmp_path):
    for name, val in (("none", 0.9), ("l2", 0.95)):
        for seed in range(3):
            keys = [f"regularizer={name}", f"seed={seed}", "monitor=val/accuracy", "trainer.max_epochs=30"]
            add_run(tmp_path, keys, classification(val, val + seed * len(name) % 3 / 1000), best_epoch=29)
    (one,) = told(tmp_path)
    assert one["advised"] is False
    assert one["sentences"][0].startswith("Nothing is advised yet: in 3 of 3 runs of l2")
    gain = one["arms"][0]["gain"]
    assert gain["low"] > 0
    assert gain["decided"] is False


def test_studies_of_any_shape_are_standard_json(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.9))
    add_run(tmp_path, ["regularizer=none", "seed=0"], None, "failed")
    add_run(tmp_path, ["regularizer=l2", "seed=0", "data=mnist"], None, "failed")
    for seed in range(2):
        for name in ("none", "l2"):
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}", "data=diabetes"], regression(50 + seed))
    answers = told(tmp_path)
    text = json.dumps(answers, allow_nan=False)
    assert json.loads(text) == answers
    one, failed, two = answers
    assert (one["best"], one["baseline"]) == ("l2", "none")
    assert one["arms"][0]["test"] == {"mean": 0.9, "low": None, "high": None, "n": 1}
    assert (one["arms"][1]["runs"], one["arms"][1]["completed"], one["arms"][1]["test"]) == (1, 0, None)
    assert (failed["best"], failed["advised"], failed["sentences"]) == (None, False, [])
    assert two["metric"] == "rmse"
    assert {arm["gain"] and arm["gain"]["p"] for arm in two["arms"]} == {None}


def test_the_command_writes_it(study, tmp_path):
    file = tmp_path / "answer.json"
    done = command(study, "--no-page", "--json", file)
    assert (done.code, done.err) == (0, "")
    assert json.loads(file.read_text(encoding="utf-8")) == {"studies": told(study)}
    printed = command(study, "--no-page", "--json", "-")
    assert json.loads(printed.out) == {"studies": told(study)}


def test_the_margin_of_the_command_is_the_answers(study):
    printed = command(study, "--no-page", "--json", "-", "--margin", "0.2")
    (one,) = json.loads(printed.out)["studies"]
    assert (one["arms"][0]["gain"]["margin"], one["arms"][0]["gain"]["equivalent"]) == (0.2, True)


def test_a_study_that_was_looked_at_before_has_wider_intervals(study):
    def widths(*more):
        (one,) = json.loads(command(study, "--no-page", "--json", "-", *more).out)["studies"]
        gains = {arm["label"]: arm["gain"] for arm in one["arms"] if arm["gain"]}
        return {label: math.inf if g["low"] is None else g["high"] - g["low"] for label, g in gains.items()}

    once, often = widths(), widths("--anytime")
    assert min(once.values()) < math.inf
    assert all(often[label] > width for label, width in once.items() if width < math.inf)


@pytest.mark.parametrize("margin", ["x", "0", "-0.1", "nan", "inf"])
def test_a_margin_that_is_none_is_one_sentence(study, margin):
    done = command(study, f"--margin={margin}")
    assert done.code == 1
    assert done.err == (
        f"regnet-report: --margin {margin} must be a number above 0, in the unit of the metric: 0.005 of accuracy.\n"
    )


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    done = command(KNOWN / "one_seed", "--no-page", "--json", tmp_path / "nowhere" / "x.json")
    assert done.code == 1
    assert done.err.startswith(f"regnet-report: --json {tmp_path / 'nowhere' / 'x.json'} cannot be written")
    assert done.err.count("\n") == 1
