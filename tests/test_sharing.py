"""Several processes on one study: each run is trained once, and what one of them leaves undone another does."""

import csv
import fcntl
import shutil
import threading
import time
from contextlib import contextmanager

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.commands import TINY, finish, record, start, train
from tests.helpers.studies import runs, trained

LAUNCHERS = {"alone": "hydra/launcher=basic", "packed": "hydra/launcher=packed"}
EPOCHS = 20
STUDY = ["-m", "study=s", *TINY, "seed=0,1,2"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that one process trained."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(*STUDY, cwd=folder).code == 0
    return folder / "outputs" / "multirun" / "s"


@contextmanager
def held(folder, act):
    """Another process holds the run of `folder`, which it lets go of after `act`."""
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def let_go():
            act()
            fcntl.flock(file, fcntl.LOCK_UN)

        thread = threading.Thread(target=let_go)
        thread.start()
        yield
        thread.join()


def until(happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def assert_undamaged(folder, epochs):
    """Every epoch has one row and one event of a name, and nothing temporary is left."""
    with (folder / "metrics.csv").open(newline="") as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(epochs))
    events = EventAccumulator(str(folder)).Reload()
    for tag in events.Tags()["scalars"]:
        steps = [event.step for event in events.Scalars(tag)]
        assert len(set(steps)) == len(steps), tag
    assert len(events.Scalars("val/loss")) == epochs
    assert not [path for path in folder.rglob("*") if path.name.endswith(".part") or path.name.startswith(".rec")]


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("other", ["dies", "ends"])
def test_a_run_of_another_process_comes_last(tmp_path, whole, launcher, other):
    second = next(path for path in whole.iterdir() if "seed=1" in path.name)
    study = tmp_path / "outputs" / "multirun" / "s"

    def act():
        until(lambda: len(list(study.glob("*/record.json"))) == 2)
        if other == "ends":
            shutil.copytree(second, study / second.name, dirs_exist_ok=True)

    with held(study / second.name, act):
        done = train(*STUDY, LAUNCHERS[launcher], cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.count("run 2/3 seed=1  is being trained by another process; the others come first\n") == 1
    assert done.out.count("waits for a run that another process trains\n") == 1
    assert trained(done) == (2 if other == "ends" else 3)
    assert ("run 2/3 seed=1  was done before" in done.out) == (other == "ends")
    for folder in study.glob("*seed*"):
        assert record(folder)["metrics"]["val"] == pytest.approx(record(whole / folder.name)["metrics"]["val"], 1e-4)
        assert_undamaged(folder, 2)


def test_a_run_without_a_study_waits_for_the_same_run_in_another_process(tmp_path):
    folder = tmp_path / "run"
    said = folder / "train.log"
    with held(folder, lambda: until(lambda: said.exists() and "waits for it" in said.read_text())):
        done = train(*TINY, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"{folder}  is being trained by another process; waits for it\n" in done.out
    assert_undamaged(folder, 2)


def test_a_run_that_is_done_needs_no_lock(tmp_path, whole):
    study = tmp_path / "outputs" / "multirun" / "s"
    shutil.copytree(whole, study)
    for path in study.glob("*/.lock"):
        path.unlink()
        path.mkdir()  # where no lock can be made
    done = train(*STUDY, cwd=tmp_path)
    assert (done.code, done.out.count("was done before")) == (0, 3)


def share(folder, first, second, kill=False):
    """Two commands on one study, the second of which begins later."""
    command = ["-m", "study=s", "model.widths=[8]", "data.train_size=60", "seed=range(4)"]
    command += [f"trainer.max_epochs={EPOCHS}", "hydra.callbacks.study_report.page=false"]
    processes = [start("regnet-train", *command, LAUNCHERS[first], cwd=folder, OMP_NUM_THREADS="2")]
    if kill:
        until(lambda: list(folder.rglob("metrics.csv")))
    processes.append(start("regnet-train", *command, LAUNCHERS[second], cwd=folder, OMP_NUM_THREADS="2"))
    if kill:
        time.sleep(1)
        processes[0].kill()
    return [finish(process) for process in processes]


@pytest.mark.slow
@pytest.mark.parametrize("first", LAUNCHERS)
@pytest.mark.parametrize("second", LAUNCHERS)
def test_two_processes_share_a_study(tmp_path, first, second):
    ended = share(tmp_path, first, second)
    for done in ended:
        assert (done.code, done.err) == (0, "")
    assert sum(map(trained, ended)) == 4
    assert [kept["status"] for kept in runs(tmp_path)] == ["completed"] * 4
    for path in (tmp_path / "outputs" / "multirun" / "s").glob("*seed*"):
        assert_undamaged(path, EPOCHS)


@pytest.mark.slow
@pytest.mark.parametrize("first", LAUNCHERS)
@pytest.mark.parametrize("second", LAUNCHERS)
def test_the_second_process_does_what_the_first_left_when_it_was_killed(tmp_path, first, second):
    _, done = share(tmp_path, first, second, kill=True)
    assert (done.code, done.err) == (0, "")
    assert [kept["status"] for kept in runs(tmp_path)] == ["completed"] * 4
    for path in (tmp_path / "outputs" / "multirun" / "s").glob("*seed*"):
        with (path / "metrics.csv").open(newline="") as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(EPOCHS))
