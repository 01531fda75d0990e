"""Measures in the life of a run: at its end, in each validation, and afterwards."""

import csv
import json
import shutil

import pytest

from regnet.measures import Calibration
from regnet.run.record import DamagedRecord, load_run, read_record
from tests.helpers.commands import TINY, evaluate, record, train, train_into
from tests.test_errors import assert_one_sentence

BRIEF = [*TINY, "logger=none"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A study of two runs without measures, the one packed and the other alone."""
    folder = tmp_path_factory.mktemp("plain")
    for launcher, seed in (("basic", 0), ("packed", 1)):
        place = [f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder}/study"]
        assert train("-m", "regularizer=dropout", f"seed={seed}", *place, *BRIEF, cwd=folder).code == 0
    return folder / "study"


@pytest.fixture
def study(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "study")
    return tmp_path / "study"


def runs(study):
    return sorted(path.parent for path in study.glob("*/record.json"))


def rest(record):
    """A record without what a measure adds."""
    kept = {key: value for key, value in record.items() if key not in ("measures", "metrics", "config")}
    names = {name for one in (record["measures"] or {}).values() for name in one["scales"]}
    metrics = {
        split: {key: value for key, value in numbers.items() if key not in names}
        if isinstance(numbers, dict)
        else numbers
        for split, numbers in record["metrics"].items()
    }
    return {**kept, "metrics": metrics, "config": {**record["config"], "measure": {}}}


def test_a_finished_study_is_measured_and_nothing_else_of_it_changes(study):
    before = {folder: record(folder) for folder in runs(study)}
    done = evaluate(f"study={study}", "measure=[calibration,selective]", cwd=study.parent)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 2 == done.out.count(": calibration, selective")
    for folder in runs(study):
        now = record(folder)
        assert rest(now) == rest(before[folder])
        assert {*now["measures"]} == {*now["config"]["measure"]} == {"calibration", "selective"}
        assert now["fingerprint"] == before[folder]["fingerprint"]
        assert all(0 <= now["metrics"][split]["aurc"] <= 1 for split in ("val", "test"))


def test_what_was_measured_is_not_measured_again_but_for_other_settings(study, monkeypatch):
    evaluate(f"study={study}", "measure=selective", cwd=study.parent)
    once = [record(folder) for folder in runs(study)]
    again = evaluate(f"study={study}", "measure=selective", cwd=study.parent)
    assert again.out.count("was measured before") == 2
    assert [record(folder) for folder in runs(study)] == once
    evaluate(f"study={study}", "measure=calibration", cwd=study.parent)
    first = [record(folder) for folder in runs(study)]
    done = evaluate(f"study={study}", "measure=[calibration,selective]", "measure.calibration.bins=3", cwd=study.parent)
    assert done.out.count(": calibration\n") == 2
    for before, folder in zip(first, runs(study), strict=True):
        now = record(folder)
        assert now["config"]["measure"]["calibration"]["bins"] == 3
        assert len(now["measures"]["calibration"]["series"]["reliability"]["accuracy"]) == 3
        assert now["metrics"]["test"]["ece_classwise"] != before["metrics"]["test"]["ece_classwise"]
        assert now["metrics"]["test"]["aurc"] == before["metrics"]["test"]["aurc"]


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_the_same_command_with_a_measure_measures_and_trains_nothing(launcher, study):
    before = {folder: (folder / "metrics.csv").read_bytes() for folder in runs(study)}
    place = [f"hydra/launcher={launcher}", f"hydra.sweep.dir={study}"]
    done = train("-m", "regularizer=dropout", "seed=0,1", "measure=selective", *place, *BRIEF, cwd=study.parent)
    assert done.code == 0, done.err
    assert done.out.count("was done before; measured now: selective") == 2, done.out
    for folder in runs(study):
        assert (folder / "metrics.csv").read_bytes() == before[folder]
        assert record(folder)["metrics"]["val"]["aurc"] >= 0
    done = train("-m", "regularizer=dropout", "seed=0,1", "measure=selective", *place, *BRIEF, cwd=study.parent)
    assert done.out.count("was done before\n") == 2


def test_measured_later_is_measured_at_once(study, tmp_path):
    asked = [*BRIEF, "regularizer=dropout", "measure=[calibration,selective,ood]"]
    at_once = train_into(tmp_path / "run", *asked)
    evaluate(f"study={study}", "measure=[calibration,selective,ood]", cwd=study.parent)
    later = next(one for one in map(record, runs(study)) if one["seed"] == 0)
    assert later["measures"] == at_once["measures"]
    assert later["metrics"] == at_once["metrics"]
    assert later["fingerprint"] == at_once["fingerprint"]


def test_an_evaluation_shows_its_measures_and_adds_them_to_the_record(study):
    folder = runs(study)[0]
    done = evaluate(f"run={folder}", "measure=selective", cwd=study.parent)
    assert done.code == 0, done.err
    found = record(folder)["metrics"]["test"]["aurc"]
    assert f"aurc        {found:.6g}   recorded {found:.6g}" in done.out
    assert "equal to the record" in done.out
    # without the measure, and on other samples, the record's measures are left out of it
    assert "equal to the record" in evaluate(f"run={folder}", cwd=study.parent).out
    once = record(folder)
    for other in ("perturbation=pixel_noise", "data=digits", "part=train", "compact=true"):
        done = evaluate(f"run={folder}", "measure=[selective,calibration]", other, cwd=study.parent)
        assert done.code == 0, done.err
        assert "brier" in done.out
        assert record(folder) == once, other


def test_validation_is_measured_in_each_epoch_and_can_choose(tmp_path):
    asked = [
        *("measure=calibration", "measure.calibration.at=epoch", "monitor=val/brier", "trainer.max_epochs=5"),
        *("model.widths=[8]", "data.train_size=60", "logger=none"),
    ]
    kept = train_into(tmp_path / "run", *asked)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["val/brier"]) for row in rows]
    assert len(scores) == 5
    assert kept["best_epoch"] == scores.index(min(scores))
    assert kept["config"]["mode"] == "min"
    assert kept["metrics"]["val"]["brier"] == pytest.approx(min(scores), rel=1e-6)
    assert kept["metrics"]["test"]["brier"] > 0
    # the numbers of an epoch make no other training
    without = train_into(tmp_path / "without", *asked[3:], "monitor=val/loss")
    with (tmp_path / "without" / "metrics.csv").open() as file:
        assert [row["val/loss"] for row in csv.DictReader(file)] == [row["val/loss"] for row in rows]
    # a measure of each validation is part of what the run is: it may choose by it
    assert without["fingerprint"] != kept["fingerprint"]


def test_runs_measured_in_each_epoch_are_not_packed(tmp_path):
    asked = [
        "measure=selective",
        "measure.selective.at=epoch",
        "hydra/launcher=packed",
        f"hydra.sweep.dir={tmp_path}/s",
    ]
    done = train("-m", "seed=0,1", *asked, *BRIEF, cwd=tmp_path)
    assert done.code == 0
    assert "measure.selective.at=epoch (it measures one network at a time)" in done.out
    assert all("val/aurc" in (folder / "metrics.csv").read_text() for folder in runs(tmp_path / "s"))


def test_a_measure_that_fails_takes_nothing_of_the_run(tmp_path, monkeypatch):
    def fail(self, part, val):
        raise RuntimeError("no\nluck")

    monkeypatch.setattr(Calibration, "measure", fail)
    kept = train_into(tmp_path / "run", *BRIEF, "measure=[calibration,selective]")
    assert kept["status"] == "completed"
    assert kept["measures"]["calibration"]["reason"].startswith("RuntimeError: no luck")
    assert "aurc" in kept["metrics"]["test"]
    assert "brier" not in kept["metrics"]["test"]
    done = evaluate(f"study={tmp_path}", "measure=[calibration,selective]", cwd=tmp_path)
    assert_one_sentence(done, r"1 measures? found nothing; the first: calibration: RuntimeError: no luck")
    monkeypatch.undo()
    assert evaluate(f"study={tmp_path}", "measure=[calibration,selective]", cwd=tmp_path).code == 0
    assert "brier" in record(tmp_path / "run")["metrics"]["test"]


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ("measure=calibratoin", r"measure=calibratoin: calibratoin is not one of .*did you mean calibration"),
        ("measure=null", r"null is none; choose from calibration"),
        ("measure.calibration.bins=3", r"measure has no key calibration; measure=calibration has it"),
        ("+measure.x=3", r"measure\.x=3 is no measure: choose one, such as measure=calibration"),
        ("+measure.x._target_=torch.nn.Linear", r"measure\.x: TypeError: Linear.*missing 2 required"),
        (
            "+measure.x._target_=torch.nn.ReLU",
            r"measure\.x\._target_=torch\.nn\.ReLU makes a ReLU, and must make a Mea",
        ),
        ("measure=calibration measure.calibration.bins=0", r"measure\.calibration: bins must be a whole number >= 1"),
        ("measure=calibration measure.calibration.bins=1.5", r"measure\.calibration\.bins=1\.5 must be a whole number"),
        ("measure=calibration measure.calibration.at=now", r"measure\.calibration: at=now must be one of end, epoch"),
        ("measure=selective data=diabetes", r"measure\.selective: Selective measures classifications"),
        ("measure=selective monitor=val/aurc", r"monitor=val/aurc must be one of val/loss"),
        (
            "measure=selective ++measure.two=${measure.selective}",
            r"measure\.two gives aurc, which selective has already",
        ),
        (
            "measure=selective measure.selective.at=epoch trainer.precision=bf16-true",
            r"measure\.selective\.at=epoch: a network in trainer\.precision=bf16-true is measured at the end alone",
        ),
    ],
)
def test_mistakes_are_told_before_training(arguments, pattern, tmp_path):
    assert_one_sentence(train(*arguments.split(), *BRIEF, cwd=tmp_path), pattern)


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ("study={study}", r"study=FOLDER needs a measure, such as measure=calibration"),
        ("study={study} run={study}", r"give run=FOLDER, the folder of a run, or study=FOLDER"),
        ("study= measure=selective", r"study='' must be the folder of a study"),
        ("study=nowhere measure=selective", r"nowhere is not a folder"),
        ("study={study} measure=ood data@measure.ood.data=wine", r"measure\.ood: data has samples of shape \[13\]"),
        ("study={study} measure=selective +measure.x=1", r"measure\.x=1 is no measure"),
    ],
)
def test_mistakes_of_an_evaluation(arguments, pattern, study):
    assert_one_sentence(evaluate(*arguments.format(study=study).split(), cwd=study.parent), pattern)


@pytest.mark.parametrize(
    "measures",
    [
        [],
        {"x": None},
        {"x": {"scales": {"a": ["up", 0, 1]}, "series": {}, "reason": None}},
        {"x": {"scales": {"a": ["min", "0", 1]}, "series": {}, "reason": None}},
        {"x": {"scales": {}, "series": {"s": {"a": [1], "b": [1, 2]}}, "reason": None}},
        {"x": {"scales": {}, "series": {"s": {"a": [{}], "b": [1]}}, "reason": None}},
        {"x": {"scales": {}, "series": {"s": {"a": [1]}}, "reason": None}},
        {"x": {"scales": {}, "series": {}, "reason": 5}},
    ],
)
def test_a_record_with_other_measures_is_damaged(measures, study):
    folder = runs(study)[0]
    (folder / "record.json").write_text(json.dumps({**record(folder), "measures": measures}))
    with pytest.raises(DamagedRecord, match="its measures must be names, each with scales, series and reason"):
        read_record(folder)
    assert load_run(folder).status == "damaged"
