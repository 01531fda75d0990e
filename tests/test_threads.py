"""How many threads a run computes with, and that its evaluation computes with as many."""

import json
import math

import pytest
import torch

from regnet.core import threads
from regnet.core.threads import LARGE, chosen, computing, cores, quota
from regnet.measures import result, task_metrics
from tests.helpers.commands import TINY, evaluate, train_into


@pytest.fixture
def four(monkeypatch):
    """A machine on which torch has found four cores, and a person has asked for nothing."""
    monkeypatch.setattr(threads, "FOUND", 4)
    monkeypatch.setattr(threads, "quota", lambda: math.inf)
    for name in threads.ASKED:
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(1)


def test_small_steps_take_one_thread_and_large_ones_all(four):
    assert [chosen(operations) for operations in (1, int(LARGE) - 1, int(LARGE), None)] == [1, 1, 4, 4]


def test_what_a_person_has_set_stays(four, monkeypatch):
    torch.set_num_threads(3)
    assert [chosen(operations) for operations in (1, int(LARGE))] == [3, 3]
    torch.set_num_threads(4)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert [chosen(operations) for operations in (1, int(LARGE))] == [4, 4]


def test_no_more_than_the_control_group_has_cores(four, monkeypatch):
    monkeypatch.setattr(threads, "quota", lambda: 1.5)
    assert (cores(), chosen(int(LARGE))) == (2, 2)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, math.inf),
        ({"a/b/cpu.max": "max 100000"}, math.inf),
        ({"a/b/cpu.max": "250000 100000"}, 2.5),
        ({"a/b/cpu.max": "400000 100000", "a/cpu.max": "150000 100000"}, 1.5),  # the least of all above it
        ({"cpu.max": "50000 100000"}, 0.5),  # in a container its own group is the root
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
    ],
)
def test_the_quota_of_a_control_group(files, expected, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text("0::/a/b\n")
    assert quota(tmp_path, tmp_path / "own") == expected
    assert quota(tmp_path / "nowhere", tmp_path / "nowhere") == math.inf


@pytest.mark.parametrize(("asked", "expected"), [(1, 1), (3, 3), (None, 4), (10**9, 4), (0, 1), (-2, 1)])
def test_computing_gives_the_threads_back(asked, expected, four):
    def fail():
        assert torch.get_num_threads() == expected
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), computing(asked):
        fail()
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("operations", "expected"), [(1, 4), (10**12, 1)])
def test_a_run_records_its_threads_and_is_evaluated_with_as_many(four, operations, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "LARGE", operations)
    seen = []
    measured = task_metrics.task_metrics
    for module in (result, task_metrics):
        monkeypatch.setattr(
            module, "task_metrics", lambda *a, **k: seen.append(torch.get_num_threads()) or measured(*a, **k)
        )
    assert train_into(tmp_path / "run", *TINY)["threads"] == expected
    assert set(seen) == {expected}
    assert torch.get_num_threads() == 4
    seen.clear()
    torch.set_num_threads(2)
    done = evaluate("run=run", cwd=tmp_path)
    assert "\nequal to the record" in done.out
    assert seen == [expected]


def test_a_record_of_before_is_evaluated_as_it_was(tmp_path):
    kept = train_into(tmp_path / "run", *TINY)
    del kept["threads"]
    (tmp_path / "run" / "record.json").write_text(json.dumps(kept))
    assert "\nequal to the record" in evaluate("run=run", cwd=tmp_path).out
