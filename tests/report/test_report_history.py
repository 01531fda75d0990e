import pytest

from regnet.report.history import learning, ledger, mean, read
from regnet.report.study import studies
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    whole = "epoch,val/loss\n0,0.5\n1,0.25\n"
    for cut in ("", "2", "2,", "2,0.1"):
        (tmp_path / "metrics.csv").write_text(whole + cut)
        assert read(tmp_path) == {"epoch": [0, 1], "val/loss": [0.5, 0.25]}


@pytest.mark.parametrize("text", [None, "", "epoch,val/loss\nzero,half\n", "\xff\n\x00\n"])
def test_what_is_no_metrics_file_has_no_columns(tmp_path, text):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text, encoding="latin-1")
    assert read(tmp_path) == {}


def test_the_mean_over_seeds_ends_with_the_shortest_run(tmp_path):
    for seed, losses in enumerate(([1, 2, 3], [3, 4])):
        folder = add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], classification(0.9))
        rows = "".join(f"{epoch},{loss}\n" for epoch, loss in enumerate(losses))
        (folder / "metrics.csv").write_text("epoch,val/loss\n" + rows)
    (study,) = studies(find_runs(tmp_path))
    assert mean(study.arms[0]) == {"epoch": [0, 1], "val/loss": [2, 3]}


def test_learning_has_both_curves_or_nothing():
    history = {"epoch": [0, 2], "train_eval/loss": [3, 1], "val/loss": [4, 2], "val/accuracy": [0.5, 0.6]}
    assert learning(history, "loss") == {"epoch": [1, 3], "train": [3, 1], "validation": [4, 2]}
    assert learning(history, "accuracy") == learning({}, "loss") == {}


def test_the_ledger_leaves_out_penalties_that_are_zero_throughout():
    history = {"epoch": [0, 1], "train/loss": [2, 1], "train/penalty/l2": [0, 0.5], "train/penalty/l1": [0, 0]}
    assert ledger(history) == {"epoch": [1, 2], "data loss": [2, 1], "l2": [0, 0.5]}
    assert ledger({name: column for name, column in history.items() if name != "train/penalty/l2"}) == {}
    assert ledger({}) == {}
