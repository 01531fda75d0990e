import pytest

from regnet.report.ranking import rank
from regnet.report.study import studies
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification

SCORES = {"digits": (0.8, 0.9, 0.7), "wine": (0.8, 0.85, 0.9), "iris": (0.6, 0.9, 0.5)}  # none, l2, l1


def ranked(folder):
    return rank(studies(find_runs(folder)))


def test_mean_ranks_over_data_sets(tmp_path):
    for data, scores in SCORES.items():
        for regularizer, score in zip(("none", "l2", "l1"), scores, strict=True):
            add_run(tmp_path, [f"data={data}", f"regularizer={regularizer}", "seed=0"], classification(0.9, score))
    found = ranked(tmp_path)
    assert found.ranks == pytest.approx({"l2": 4 / 3, "none": 7 / 3, "l1": 7 / 3})
    assert found.data_sets == 3
    assert "l2 1.33, none 2.33, l1 2.33. They are not distinguishable as a whole" in found.sentence()


def test_several_sizes_count_once_by_the_ranks_of_their_mean_ranks(tmp_path):
    for data, size, better in (
        ("digits", 50, "l2"),
        ("digits", 100, "l2"),
        ("digits", 200, "none"),
        ("iris", 50, "l2"),
    ):
        for regularizer in ("none", "l2"):
            keys = [f"data={data}", f"data.train_size={size}", f"regularizer={regularizer}"]
            add_run(tmp_path, keys, classification(0.9, 0.9 - 0.1 * (regularizer != better)))
    found = ranked(tmp_path)
    assert found.ranks == {"l2": 1.0, "none": 2.0}
    assert found.data_sets == 2


def test_several_sizes_of_one_data_set_are_one(tmp_path):
    for size in (50, 100):
        for regularizer in ("none", "l2"):
            add_run(tmp_path, [f"data.train_size={size}", f"regularizer={regularizer}"], classification(0.9))
    assert ranked(tmp_path) is None
