import pytest

from regnet.report.ranking import rank
from regnet.report.study import studies
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification

SIX = ["digits", "wine", "iris", "breast_cancer", "mnist", "fashion_mnist"]
ARMS = ("none", "l2", "l1")


def ranked(folder, baseline=None):
    return rank(studies(find_runs(folder)), baseline)


def add(folder, scores, arms=ARMS):
    for data, own in scores.items():
        for regularizer, score in zip(arms, own, strict=True):
            add_run(folder, [f"data={data}", f"regularizer={regularizer}", "seed=0"], classification(0.9, score))


def test_mean_ranks_over_data_sets(tmp_path):
    usual = (0.8, 0.9, 0.7)
    scores = (usual, usual, usual, (0.8, 0.85, 0.9), (0.6, 0.9, 0.5))
    add(tmp_path, dict(zip(SIX[:5], scores, strict=True)))
    found = ranked(tmp_path)
    assert found.ranks == pytest.approx({"l2": 6 / 5, "none": 11 / 5, "l1": 13 / 5})
    assert found.data_sets == 5
    assert "l2 1.20, none 2.20, l1 2.60. They are not distinguishable as a whole" in found.sentence()
    assert found.against == {}


def test_arms_are_compared_with_the_baseline_where_ranks_differ(tmp_path):
    add(tmp_path, dict.fromkeys(SIX, (0.8, 0.9, 0.7)))
    found = ranked(tmp_path)
    assert found.control == "none"
    # z = 1 / sqrt(3 * 4 / 36): p = 0.0833 each, twice that by Holm
    assert found.against == pytest.approx({"l2": 0.16653, "l1": 0.16653}, abs=1e-5)
    assert found.sentence().endswith("No single one is told from none (Holm).")
    found = ranked(tmp_path, "l1")
    # z = 2 / sqrt(1 / 3): p = 0.00053 of l2, twice that by Holm
    assert found.against == pytest.approx({"l2": 0.0010641, "none": 0.083265}, rel=1e-4)
    assert found.sentence().endswith("Different from l1 by Holm's test: l2 (p = 0.00106).")


def test_from_fewer_than_five_data_sets_nothing_is_said(tmp_path):
    add(tmp_path, dict.fromkeys(SIX[:4], (0.8, 0.9, 0.7)))
    assert ranked(tmp_path) is None


def test_several_sizes_count_once_by_the_ranks_of_their_mean_ranks(tmp_path):
    add(tmp_path, dict.fromkeys(SIX[1:5], (0.8, 0.9)), ARMS[:2])
    for size, better in ((50, "l2"), (100, "l2"), (200, "none")):
        for regularizer in ("none", "l2"):
            keys = ["data=digits", f"data.train_size={size}", f"regularizer={regularizer}", "seed=0"]
            add_run(tmp_path, keys, classification(0.9, 0.9 - 0.1 * (regularizer != better)))
    found = ranked(tmp_path)
    assert found.ranks == {"l2": 1.0, "none": 2.0}
    assert found.data_sets == 5


def test_several_sizes_of_one_data_set_are_one(tmp_path):
    for size in (50, 100, 150, 200, 250):
        for regularizer in ("none", "l2"):
            add_run(tmp_path, [f"data.train_size={size}", f"regularizer={regularizer}"], classification(0.9))
    assert ranked(tmp_path) is None
