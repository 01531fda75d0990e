"""Runs that begin at the weights of others: made-up paths, of which some were moved."""

import shutil
from pathlib import Path

import pytest

from regnet.report.starts import chains, starts
from regnet.report.study import studies
from regnet.run.record import RecordedRun, find_runs, write_record
from tests.helpers.records import add_run, classification, config, record, study_in

STRENGTHS = ("1", "0.5", "0.25")


def add(folder, strength, seed, start=None, regularizer="l2"):
    keys = [f"regularizer={regularizer}", f"regularizer.l2.strength={strength}", f"seed={seed}"]
    own = config(keys) | {"warm_start": None if start is None else str(start)}
    given = [f"warm_start='{start}'"] if start else []
    place = add_run(folder, keys, None)
    write_record(place, record([*keys, *given], classification(0.9), config=own))
    return place


def add_path(folder, strengths=STRENGTHS, seeds=2):
    for seed in range(seeds):
        start = None
        for strength in strengths:
            start = add(folder, strength, seed, start)


def labels(folder):
    return {arm.label: len(arm.runs) for arm in study_in(folder).arms}


def test_seeds_of_one_path_are_one_arm_and_its_labels_say_no_more(tmp_path):
    add_path(tmp_path)
    assert labels(tmp_path) == {f"l2 strength={strength}": 2 for strength in STRENGTHS}


def test_paths_down_and_up_and_cold_runs_are_arms_apart(tmp_path):
    add_path(tmp_path / "down")
    add_path(tmp_path / "up", STRENGTHS[::-1])
    for seed in range(2):
        add(tmp_path / "cold", "0.5", seed)
    assert labels(tmp_path) == {
        "l2 strength=1": 2,  # the first of the path down
        "l2 strength=1 from strength=0.5": 2,
        "l2 strength=0.5": 2,  # cold
        "l2 strength=0.5 from strength=1": 2,
        "l2 strength=0.5 from strength=0.25": 2,
        "l2 strength=0.25": 2,  # the first of the path up
        "l2 strength=0.25 from strength=0.5": 2,
    }


def test_what_the_run_before_began_at_counts_too(tmp_path):
    add_path(tmp_path / "long")
    add_path(tmp_path / "short", STRENGTHS[1:])
    assert labels(tmp_path) == {
        "l2 strength=1": 2,
        "l2 strength=0.5": 2,
        "l2 strength=0.5 from strength=1": 2,
        "l2 strength=0.25 from strength=0.5 (1)": 2,
        "l2 strength=0.25 from strength=0.5 (2)": 2,
    }


def test_a_study_that_was_moved_has_the_same_arms(tmp_path):
    add_path(tmp_path / "down")
    add_path(tmp_path / "up", STRENGTHS[::-1])
    before = labels(tmp_path)
    shutil.move(tmp_path / "down", tmp_path / "elsewhere" / "a")
    shutil.move(tmp_path / "up", tmp_path / "elsewhere" / "b")
    assert labels(tmp_path) == before


def test_a_run_to_begin_with_that_is_not_among_the_runs_is_known_by_its_name(tmp_path):
    add(tmp_path / "s", "2", 0)
    for seed in range(2):
        add(tmp_path / "s", "1", seed)
        add(tmp_path / "s", "1", seed, f"/gone/pretrained,seed={seed}")
        add(tmp_path / "s", "1", seed, f"/gone/another,seed={seed}")
    assert labels(tmp_path) == {
        "l2 strength=2": 1,
        "l2 strength=1": 2,
        "l2 strength=1 from pretrained": 2,
        "l2 strength=1 from another": 2,
    }


def test_other_data_to_begin_with_are_another_beginning(tmp_path):
    for source in ("wine", "digits"):
        keys = ["regularizer=none", f"data={source}"]
        start = add_run(tmp_path, keys, classification(0.9), config=config(keys))
        add(tmp_path, "1", 0, start)
    digits = next(study for study in studies(find_runs(tmp_path)) if len(study.arms) == 3)
    assert sorted(arm.label for arm in digits.arms)[0].startswith("l2 strength=1 from")
    assert len({arm.label for arm in digits.arms}) == 3


@pytest.mark.parametrize("text", ["a\0b", "", ".", "x" * 5000])
def test_a_start_that_is_no_folder_and_runs_that_begin_at_each_other_end_nothing(tmp_path, text):
    add(tmp_path, "1", 0, text)
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, start in ((first, second), (second, first)):
        shutil.move(add(tmp_path / "made", "2", 0, start), folder)
    assert sum(labels(tmp_path).values()) == 3


def test_a_long_path_needs_no_recursion():
    runs = [RecordedRun(Path(str(step)), "completed", config={"warm_start": str(step - 1)}) for step in range(3000)]
    before = chains(starts(runs), {run.folder: "the same" for run in runs})
    assert len(set(before.values())) == 3000
