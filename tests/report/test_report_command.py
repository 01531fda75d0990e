import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import report
from tests.helpers.records import add_run, add_unfinished, classification

ROOT = Path(__file__).parents[2]


def python(*arguments, cwd=None):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.fixture
def command(tmp_path):
    return lambda *arguments: report(*map(str, arguments), cwd=tmp_path)


def test_a_study_is_printed_without_colour_codes_where_there_is_no_terminal(command, tmp_path):
    add_run(tmp_path, ["regularizer=[dropout,l2]", "seed=0"], classification(0.96))
    done = command(tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "★ dropout + l2" in done.out
    assert "\x1b" not in done.out


def test_the_script_is_the_same_command(command, tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.96))
    assert python(ROOT / "scripts" / "report.py", tmp_path).stdout == command(tmp_path).out


def test_several_folders_are_merged_and_a_run_given_twice_counts_once(command, tmp_path):
    add_run(tmp_path / "a", ["regularizer=l2", "seed=0"], classification(0.96))
    add_run(tmp_path / "b", ["regularizer=l2", "seed=1"], classification(0.97))
    done = command(tmp_path / "a", tmp_path / "b", tmp_path)
    assert "2/2" in done.out
    assert "left out" not in done.out


def test_torch_is_not_imported(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.96))
    add_run(tmp_path, ["regularizer=l2", "seed=1"], classification(0.97))
    code = "import sys; from regnet.report.command import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = python("-c", code, tmp_path, "--csv", tmp_path / "runs.csv")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (str, "is not a folder"),
        (lambda folder: folder.mkdir(), "holds no run of regnet"),
        (lambda folder: add_unfinished(folder, ["db=x"], config="db: x\n"), "holds no run of regnet"),
        (lambda folder: folder.write_text(""), "is not a folder"),
    ],
    ids=["missing", "empty", "another program's", "a file"],
)
def test_a_wrong_folder_is_one_sentence_and_exit_code_1(command, tmp_path, make, sentence):
    folder = tmp_path / "study"
    make(folder)
    done = command(folder)
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith(f"regnet-report: {folder} {sentence}")
    assert done.err.count("\n") == 1


def test_help_and_a_missing_argument(command):
    assert "FOLDER" in command("--help").out
    for arguments, reason in [((), "required: FOLDER"), (("x", "--foo"), "unrecognized arguments: --foo")]:
        done = command(*arguments)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert reason in done.err


def test_csv_has_a_row_for_each_run_and_a_column_for_each_metric(command, tmp_path):
    add_run(tmp_path, ["regularizer=l2", "++regularizer.l2.strength=0.1", "seed=0"], classification(0.96))
    add_run(tmp_path, ["regularizer=none", "seed=1"], None, "failed", reason="no, it did not")
    file = tmp_path / "runs.csv"
    assert command(tmp_path, "--csv", file).code == 0
    with file.open(newline="", encoding="utf-8") as lines:
        first, second = csv.DictReader(lines)
    assert (first["val/accuracy"], first["gap/loss"], first["sparsity"]) == ("0.96", "0.05", "0.25")
    assert (first["regularizer"], first["regularizer.l2.strength"], first["seed"]) == ("l2", "0.1", "0")
    assert (second["status"], second["reason"]) == ("failed", "no, it did not")
    assert (second["val/accuracy"], second["regularizer.l2.strength"]) == ("", "")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    # As in `regnet-report study | head -3`.
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.96))
    reader, writer = os.pipe()
    os.close(reader)
    arguments = ["-m", "regnet.report.command", tmp_path, "--csv", tmp_path / "runs.csv"]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, encoding="utf-8", timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    assert (tmp_path / "runs.csv").exists()


def test_a_csv_that_cannot_be_written_is_one_sentence(command, tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.96))
    done = command(tmp_path, "--csv", tmp_path / "nowhere" / "runs.csv")
    assert done.code == 1
    assert done.err.startswith(f"regnet-report: --csv {tmp_path / 'nowhere' / 'runs.csv'} cannot be written")
    assert done.err.count("\n") == 1


def test_a_baseline_that_is_not_among_the_runs_is_one_sentence(command, tmp_path):
    for regularizer in ("none", "l2"):
        add_run(tmp_path, [f"regularizer={regularizer}", "seed=0"], classification(0.96))
    done = command(tmp_path, "--baseline", "l3")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("regnet-report: --baseline l3 is not among the runs; did you mean l2? There are: ")
    assert done.err.count("\n") == 1


def test_the_page_lies_in_the_first_folder_or_where_it_is_told(command, tmp_path):
    for study in "ab":
        add_run(tmp_path / study, ["regularizer=l2", "seed=0"], classification(0.96))
    assert "The page" not in command(tmp_path / "a", "--no-page").out
    assert not (tmp_path / "a" / "report.html").exists()
    done = command(tmp_path / "b", tmp_path / "a", "--out", tmp_path / "new" / "place")
    assert done.out.endswith(f"\nThe page: {tmp_path / 'new' / 'place' / 'report.html'}\n")
    assert not (tmp_path / "b" / "report.html").exists()
    assert command(tmp_path / "b", tmp_path / "a").out.endswith(f"The page: {tmp_path / 'b' / 'report.html'}\n")
    assert (tmp_path / "b" / "report.html").exists()
