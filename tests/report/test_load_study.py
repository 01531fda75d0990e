"""`regnet.load_study`: a study as a table of pandas."""

import subprocess
import sys

import pandas
import pytest

import regnet
from tests.helpers.records import add_damaged, add_run, add_unfinished, classification, regression


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    for seed in range(2):
        add_run(folder, ["regularizer=none", f"seed={seed}"], classification(0.9))
        add_run(
            folder, ["regularizer=[dropout,l2]", "regularizer.l2.strength=1e-3", f"seed={seed}"], classification(0.95)
        )
    return folder


def test_a_row_for_each_run_with_its_settings_and_metrics(study):
    runs = regnet.load_study(study)
    assert runs["status"].tolist() == ["completed"] * 4
    assert runs["seed"].tolist() == [0, 0, 1, 1]
    assert runs["regularizer"].tolist() == ["none", "[dropout,l2]"] * 2
    assert runs["seconds"].tolist() == [4.0] * 4
    means = runs.groupby("regularizer")["val/accuracy"].mean()
    assert means.to_dict() == pytest.approx({"none": 0.9, "[dropout,l2]": 0.95})
    assert {"train/loss", "test/ece", "gap/accuracy", "sparsity", "best_epoch"} <= {*runs.columns}
    assert {regnet.load_study(folder)["folder"][0] for folder in runs["folder"]} == {*runs["folder"]}


def test_values_are_values_and_not_text(tmp_path):
    """1e-3 and 0.001 are one number, digits in quotes are text."""
    given = {"a": ["1e-3", "0.001"], "b": ["true", "false"], "c": ["null", "x"], "d": ["'007'", "7"], "e": ["3", "4.0"]}
    for i in range(2):
        add_run(tmp_path, [f"model.{key}={values[i]}" for key, values in given.items()], classification(0.9))
    runs = regnet.load_study(str(tmp_path))
    assert runs["model.a"].tolist() == [0.001, 0.001]
    assert runs["model.b"].tolist() == [True, False]
    assert runs["model.b"].dtype == bool
    assert runs["model.c"].isna().tolist() == [True, False]
    assert runs["model.d"].tolist() == ["007", 7]
    assert runs["model.e"].tolist() == [3, 4]


def test_a_default_is_told_where_another_run_was_given_the_key(study):
    add_run(study, ["data.batch_size=32", "seed=7"], classification(0.8))
    sizes = regnet.load_study(study).set_index("seed")["data.batch_size"]
    assert sizes[7] == 32
    assert sizes[0].tolist() == [128, 128]


def test_runs_without_a_result_are_rows_too(study):
    add_run(study, ["seed=5"], None, "failed", reason="out of memory")
    add_unfinished(study, ["seed=6", "regularizer=l1"])
    add_damaged(study)
    runs = regnet.load_study(study)
    assert sorted(runs["status"].value_counts().items()) == [
        ("completed", 4),
        ("damaged", 1),
        ("failed", 1),
        ("unfinished", 1),
    ]
    failed = runs[runs["status"] == "failed"].iloc[0]
    assert failed["reason"] == "out of memory"
    assert pandas.isna(failed["val/accuracy"])
    assert runs["val/accuracy"].dtype == float
    assert runs[runs["seed"] == 6]["regularizer"].item() == "l1"


def test_a_regression_has_its_own_metrics(tmp_path):
    add_run(tmp_path, ["data=diabetes"], regression(0.5))
    assert regnet.load_study(tmp_path)["test/rmse"].tolist() == [0.5]


def test_a_folder_without_runs_is_told_in_one_sentence(tmp_path):
    with pytest.raises(regnet.UserError, match="holds no run of regnet"):
        regnet.load_study(tmp_path)
    with pytest.raises(regnet.UserError, match="is not a folder"):
        regnet.load_study(tmp_path / "nothing")


def test_torch_is_not_imported(study):
    code = "import regnet, sys; regnet.load_study(sys.argv[1]); print({'torch', 'lightning'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code, str(study)], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
