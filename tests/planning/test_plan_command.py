"""regnet-plan through the real command line: which runs, how they are launched, and that nothing is left behind."""

import re

import pytest

from tests.helpers.commands import TINY, plan, train
from tests.helpers.studies import own_experiment

PACKED = "hydra/launcher=packed"
KEY = "regularizer.l2.strength"
REFINE = ["hydra/sweeper=refine", f"hydra.sweeper.key={KEY}", "hydra.sweeper.rounds=1", "regularizer=l2"]
SEARCH = ["hydra/sweeper=search", "hydra.sweeper.trials=3", "hydra.sweeper.prune=false", "hydra.sweeper.together=2"]
TUNE = "hydra:\n  sweeper:\n    trials: 2\n    arms:\n      none: {}\n      l2: {%s: 'interval(0.1,0.2)'}\n"


def lines(done):
    assert done.code == 0, done.err
    told = [line.split(maxsplit=1) for line in done.out.splitlines()]
    return {name: "; ".join(text for key, text in told if key == name) for name, _ in told}


def test_a_packed_study_and_nothing_is_left_behind(tmp_path):
    done = plan(PACKED, "study=s", "regularizer=none,l2", "seed=range(3)", *TINY, cwd=tmp_path)
    told = lines(done)
    assert list(told) == ["study", "runs", "launch", "time", "memory", "disk", "seeds"]
    assert told["study"] == "outputs/multirun/s, which is new"
    assert told["runs"] == "6: 2 arms x 3 seeds x 1 split"
    assert told["launch"] == "6 runs in 2 packs of 3"
    assert told["memory"].endswith("3 of 3 at a time")
    assert re.match(r"about \S+ (s|minutes): \S+ (s|minutes) to start and \S+ (s|minutes) to train; ", told["time"])
    assert done.err == ""
    assert list(tmp_path.iterdir()) == []


def test_finished_runs_are_counted_and_not_planned_again(tmp_path):
    study = ["study=s", *TINY, "logger=none"]
    assert train("-m", *study, "seed=0,1", cwd=tmp_path).code == 0
    before = sorted(tmp_path.rglob("*"))
    told = lines(plan(*study, "-m", "seed=0,1,2", "regularizer=none", cwd=tmp_path))
    assert told["runs"] == "3: 1 arm x 3 seeds x 1 split"  # another spelling is another folder
    told = lines(plan(*study, "seed=0,1,2", cwd=tmp_path))
    assert told["study"].endswith("which goes on")
    assert told["runs"] == "3: 1 arm x 3 seeds x 1 split; 2 finished, 1 to train"
    assert told["launch"] == "1 run one by one"
    assert told["disk"].endswith("in 1 folder")
    told = lines(plan(*study, "seed=0,1", cwd=tmp_path))
    assert "time" not in told
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_two_jobs_share_is_one(tmp_path):
    strengths = f"++{KEY}=1,2"
    told = lines(plan("regularizer=none,l2", strengths, "study=s", *TINY, cwd=tmp_path))
    assert told["runs"] == "3: 3 arms x 1 seed x 1 split"


def test_seeds_and_splits_make_no_arms(tmp_path):
    told = lines(plan("regularizer=none,l2", "seed=0,1", "data.split_seed=0,1,2", PACKED, *TINY, cwd=tmp_path))
    assert told["runs"] == "12: 2 arms x 2 seeds x 3 splits"


def test_who_is_trained_alone_and_why(tmp_path):
    command = ["regularizer=sam", "trainer.accumulate_grad_batches=2", "data.num_workers=0,1", "seed=0,1", *TINY]
    told = lines(plan(PACKED, "study=s", *command, cwd=tmp_path))
    workers, sam = sorted(told["launch"].split("; "), key=len)
    assert workers == "2 runs one by one: data.num_workers=1"
    assert sam == "2 runs one by one: SAM takes all accumulated batches again"


@pytest.mark.parametrize(
    ("settings", "exact"),
    [
        ([*REFINE, f"{KEY}=1e-3,1e-2,1e-1"], False),
        ([*SEARCH, "optimizer.lr=tag(log,interval(1e-3,1e-2))", "seed=0,1"], True),
    ],
)
def test_a_study_that_results_decide_trains_at_most_so_many(tmp_path, settings, exact):
    command = [PACKED, "study=s", *settings, *TINY, "logger=none", "monitor=val/loss"]
    (most,) = map(int, re.findall(r"at most (\d+)", lines(plan(*command, cwd=tmp_path))["runs"]))
    assert train("-m", *command, cwd=tmp_path).code == 0
    trained = len(list(tmp_path.rglob("record.json")))
    assert most - (not exact) <= trained <= most


def test_a_tuned_study_trains_so_many(tmp_path):
    command = [*own_experiment(tmp_path, "defaults:\n  - override /hydra/sweeper: tune\n" + TUNE % KEY), "study=s"]
    command += [PACKED, "seed=range(3)", *TINY, "logger=none"]
    told = lines(plan(*command, cwd=tmp_path))
    assert train(*command, cwd=tmp_path).code == 0
    assert told["runs"].startswith(f"at most {len(list(tmp_path.rglob('record.json')))},")


def test_a_path_looks_for_its_beginning(tmp_path):
    command = ["hydra/sweeper=path", "hydra.sweeper.points=3", f"hydra.sweeper.key={KEY}", "regularizer=l2"]
    told = lines(plan(PACKED, *command, "seed=0,1", *TINY, cwd=tmp_path))
    assert told["runs"].startswith(f"at most {12 + 3 * 2},")


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("regularizer=l3", "regularizer=l3: l3 is not one of"),
        ("regularizer.l2.strength=-1,1", "regularizer.l2: strength must be a finite number >= 0, got -1"),
        ("data.train_size=0", "data.train_size=0 must be a whole number, at least 1"),
        ("from=nowhere", "nowhere is not a folder"),
        ("from=3", "from=3 must be the folder of an earlier study"),
        ("hydra.launcher.size=0", "hydra.launcher.size=0 must be a whole number >= 1, or null"),
        ("seed=interval(0,1)", "seed=interval(0,1): a grid has no intervals"),
        ("frum=1", "frum=1: "),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, mistake, told):
    done = plan(PACKED, "regularizer=l2", *TINY, mistake, cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert done.err.startswith("regnet-plan: ")
    assert told in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_same_overrides_are_the_same_runs(tmp_path):
    """Jobs are composed as regnet-train composes them, so that a plan knows their fingerprints."""
    command = ["study=s", PACKED, "regularizer=[l2,dropout]", "data.train_size=60,70", *TINY[:2], "logger=none"]
    assert train("-m", *command, cwd=tmp_path).code == 0
    told = lines(plan(*command, cwd=tmp_path))
    assert told["runs"].endswith("2 finished, 0 to train")
