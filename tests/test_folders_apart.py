"""Runs of a study never share a folder, whatever `hydra.sweep.subdir` is, under both launchers."""

import pytest

from tests.helpers.commands import TINY, record, train
from tests.helpers.studies import runs, trained

LAUNCHERS = ("basic", "packed")
NUMBERED = "hydra.sweep.subdir=${hydra.job.num}"


def study(launcher, *arguments):
    return ["-m", "study=s", f"hydra/launcher={launcher}", *TINY, "logger=none", *arguments]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_runs_of_one_folder_are_told_before_anything_is_trained(launcher, tmp_path):
    done = train(*study(launcher, "hydra.sweep.subdir=${seed}", "seed=0,1", "optimizer.lr=0.01,0.1"), cwd=tmp_path)
    assert done.code == 1
    assert "hydra.sweep.subdir gives two different runs the folder" in done.err
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_search_tells_it_of_a_later_batch_too(launcher, tmp_path):
    searched = ["hydra/sweeper=search", "hydra.sweeper.trials=4", "hydra.sweeper.together=1"]
    space = ["optimizer.lr=interval(0.01,0.1)", "hydra.sweep.subdir=a_${seed}"]
    done = train(*study(launcher, *searched, *space), cwd=tmp_path)
    assert done.code == 1
    assert "hydra.sweep.subdir gives two different runs the folder" in done.err
    assert len(runs(tmp_path)) == 1


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_jobs_of_the_same_values_share_a_folder(launcher, tmp_path):
    pattern = "hydra.sweep.subdir=${optimizer.lr}"
    done = train(*study(launcher, pattern, "regularizer=none", "optimizer.lr=0.01,1e-2,0.1"), cwd=tmp_path)
    assert (done.code, trained(done)) == (0, 2), done.out + done.err


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_folders_can_be_numbered_and_go_on(launcher, tmp_path):
    command = study(launcher, NUMBERED, "seed=0,1", "optimizer.lr=0.01,0.1")
    done = train(*command, cwd=tmp_path)
    assert (done.code, trained(done)) == (0, 4), done.out + done.err
    found = {place.name: record(place) for place in (tmp_path / "outputs/multirun/s").iterdir() if place.is_dir()}
    assert sorted(found) == ["0", "1", "2", "3"]
    assert [(found[n]["seed"], found[n]["config"]["optimizer"]["lr"]) for n in "0123"] == [
        (0, 0.01),
        (0, 0.1),
        (1, 0.01),
        (1, 0.1),
    ]
    again = train(*command, cwd=tmp_path)
    assert (again.code, trained(again)) == (0, 0)


def test_a_run_of_a_pack_that_is_trained_alone_keeps_the_folder_of_its_job(tmp_path):
    """What cannot be packed is composed once more."""
    command = study("packed", NUMBERED, "seed=0,1", "+trainer.max_time=00:01:00:00")
    done = train(*command, cwd=tmp_path)
    assert "2 alone" in done.out
    assert (done.code, trained(done)) == (0, 2), done.out + done.err
    assert sorted(place.parent.name for place in tmp_path.rglob("record.json")) == ["0", "1"]
