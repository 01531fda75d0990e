import json
import os
from pathlib import Path

import pytest

from regnet.run.record import DamagedRecord, find_runs, flat, read_record, write_record
from tests.helpers.records import add_damaged, add_run, add_unfinished, classification, record


def test_a_written_record_reads_back_the_same(tmp_path):
    written = record(["regularizer=[dropout,l2]", "seed=3"], classification(0.95))
    write_record(tmp_path, written)
    assert read_record(tmp_path) == written


def test_no_record_is_none(tmp_path):
    assert read_record(tmp_path) is None


def test_numbers_that_are_not_finite_become_null(tmp_path):
    metrics = {"val": {"loss": float("nan")}, "sparsity": float("-inf")}
    write_record(tmp_path, record([], metrics, "diverged"))
    assert read_record(tmp_path)["metrics"] == {"val": {"loss": None}, "sparsity": None}
    assert "NaN" not in (tmp_path / "record.json").read_text()


def test_numbers_of_a_config_that_are_not_finite_stay_apart_from_null(tmp_path):
    numbers = {"a": float("inf"), "b": [float("-inf"), 1.0], "c": float("nan"), "d": None, "e": "Infinity,\nNaN"}
    write_record(tmp_path, record([], None, "completed") | {"config": {"model": numbers}})
    assert read_record(tmp_path)["config"]["model"] == numbers | {"c": "nan"}
    json.loads((tmp_path / "record.json").read_text(), parse_constant=pytest.fail)  # as other readers do


def test_a_nan_of_another_writer_is_null(tmp_path):
    text = '{"status": "completed", "overrides": [], "metrics": {"val": {"loss": NaN}}}'
    assert read_record(add_damaged(tmp_path, text))["metrics"] == {"val": {"loss": None}}


@pytest.mark.parametrize(("owner", "broken"), [(Path, "replace"), (os, "fsync")])
def test_a_crash_while_writing_leaves_the_old_record_and_no_other_file(tmp_path, monkeypatch, owner, broken):
    old = record(["seed=1"], None)
    write_record(tmp_path, old)

    def crash(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(owner, broken, crash)
    with pytest.raises(OSError, match="the disk is full"):
        write_record(tmp_path, record(["seed=2"], None))
    assert read_record(tmp_path) == old
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    "text",
    [
        '{"status": "compl',
        "[]",
        "{}",
        '{"status": "great", "overrides": []}',
        '{"status": "completed"}',
        '{"status": "completed", "overrides": [1]}',
        '{"status": "completed", "overrides": [], "metrics": {"val": 0.5}}',
        '{"status": "completed", "overrides": [], "config": {"regularizer": ["l2"]}}',
        '{"status": "completed", "overrides": [], "metrics": {"val": {"accuracy": "high"}}}',
        '{"status": "completed", "overrides": [], "seconds": "4.0"}',
        '{"status": "completed", "overrides": [], "seed": "first"}',
        '{"status": "completed", "overrides": [], "started": 2026}',
        '{"status": "completed", "overrides": [], "schema": 2}',
        "\x00\x00",
    ],
)
def test_a_damaged_record_names_its_path(tmp_path, text):
    folder = add_damaged(tmp_path, text)
    with pytest.raises(DamagedRecord, match=str(folder / "record.json")):
        read_record(folder)
    (run,) = find_runs(tmp_path)
    assert run.status == "damaged"
    assert str(folder) in run.reason


def test_runs_are_found_at_any_depth_in_natural_order(tmp_path):
    for name in ("10_b", "9_a", "deep/2_c"):
        (tmp_path / name).mkdir(parents=True)
        write_record(tmp_path / name, record(["seed=4"], classification(0.9)))
    runs = list(find_runs(tmp_path))
    assert [run.folder.relative_to(tmp_path).as_posix() for run in runs] == ["9_a", "10_b", "deep/2_c"]
    assert runs[0].seed == 4
    assert runs[0].metric("val", "accuracy") == 0.9
    assert runs[0].metric("sparsity") == 0.25
    assert runs[0].metric("test", "rmse") is None


def test_a_run_folder_is_a_study_of_one_and_what_lies_below_it_is_its_own(tmp_path):
    folder = add_run(tmp_path, ["seed=0"], None, "failed", reason="no")
    write_record_below = folder / "evaluation"
    write_record_below.mkdir()
    write_record(write_record_below, record([], None))
    assert [run.folder for run in find_runs(folder)] == [folder]


def test_a_run_without_a_record_is_unfinished_and_its_overrides_are_known(tmp_path):
    add_unfinished(tmp_path, ["regularizer=[dropout,l2]", "seed=12", "'~trainer.x'"])
    (run,) = find_runs(tmp_path)
    assert (run.status, run.seed) == ("unfinished", 12)
    assert run.overrides == ("regularizer=[dropout,l2]", "seed=12", "~trainer.x")


def test_folders_of_another_hydra_program_are_no_runs(tmp_path):
    add_unfinished(tmp_path, ["db=mysql"], config="db:\n  seed: 3\n")
    assert list(find_runs(tmp_path)) == []


def test_flat_names_every_metric_by_its_path():
    metrics = {"val": {"loss": 0.1, "accuracy": None}, "sparsity": 0.25, "gap": {}}
    assert flat(metrics) == {"val/loss": 0.1, "val/accuracy": None, "sparsity": 0.25}


def test_the_record_can_be_written_as_json_by_anyone(tmp_path):
    write_record(tmp_path, record(["seed=1"], {"train": {"loss": 1.0}}))
    assert json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))["seed"] == 1
