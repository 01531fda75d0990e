"""How commands end: the exit codes of signals, of studies with failed runs, and of output that nobody reads."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from regnet.core import ending
from regnet.core.ending import at_steps, exit_codes, stop_here
from tests.helpers.commands import PROGRAMS, TINY, finish, is_running, record, start, train
from tests.helpers.studies import runs

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
KINDS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit, signal.SIGHUP: SystemExit}


@pytest.fixture(autouse=True)
def handlers():
    """All are as they were before."""
    before = {number: signal.getsignal(number) for number in CODES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


def code_of(act):
    """The exit code of a program that does this."""
    with pytest.raises(SystemExit) as end, exit_codes():
        act()
    return end.value.code


@pytest.mark.parametrize("number", CODES)
def test_a_signal_ends_the_block_with_its_code(number):
    done = []

    def act():
        try:
            send(number)
            done.append("more")
        except KINDS[number]:
            done.append("recorded")
            raise

    assert (code_of(act), done) == (CODES[number], ["recorded"])


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize(
    "made", [SystemExit(1), SystemExit(0), SystemExit(None), ImportError("half imported")], ids=repr
)
def test_whatever_a_library_makes_of_it(number, made):
    """Lightning makes exit code 1 of Ctrl-C, and of SIGTERM none at all."""

    def act():
        try:
            send(number)
        except BaseException:
            raise made from None

    assert code_of(act) == CODES[number]


def test_the_same_signal_twice_is_one_and_the_end_is_not_disturbed():
    recorded = []

    def act():
        try:
            send(signal.SIGINT)
        finally:
            send(signal.SIGINT)
            send(signal.SIGTERM)
            recorded.append(True)

    assert (code_of(act), recorded) == (130, [True])
    send(signal.SIGINT)  # while the program ends


def test_a_later_signal_is_another(monkeypatch):
    monkeypatch.setattr(ending, "AGAIN", 0.0)
    done = []

    def act():
        try:
            send(signal.SIGINT)
        except KeyboardInterrupt:
            send(signal.SIGTERM)
            done.append("more")

    assert (code_of(act), done) == (130, [])


def test_a_signal_that_was_ignored_stays_so():
    """As nohup has it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with exit_codes():
        send(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_without_a_signal_all_is_as_before():
    mine = {number: signal.getsignal(number) for number in CODES}
    with exit_codes():
        pass
    assert code_of(lambda: sys.exit(3)) == 3
    with pytest.raises(ValueError, match="abc"), exit_codes():
        int("abc")
    assert {number: signal.getsignal(number) for number in CODES} == mine


@pytest.mark.parametrize("number", CODES)
def test_a_signal_waits_for_a_step(number):
    done = []

    def act():
        with at_steps():
            stop_here()
            send(number)
            done.append("the step")
            try:
                stop_here()
            except KINDS[number]:
                done.append("recorded")
                raise

    assert (code_of(act), done) == (CODES[number], ["the step", "recorded"])


def test_a_signal_that_python_swallows_stops_at_the_next_step():
    done = []

    def act():
        with suppress(SystemExit):  # as in a weakref's callback
            send(signal.SIGTERM)
        with at_steps():
            done.append("the first step")
            stop_here()
            done.append("more")

    assert (code_of(act), done) == (CODES[signal.SIGTERM], ["the first step"])
    stop_here()


def test_a_signal_that_no_step_saw_stops_behind_the_last():
    done = []

    def act():
        with at_steps():
            send(signal.SIGTERM)
            done.append("the last step")
        done.append("more")

    assert (code_of(act), done) == (143, ["the last step"])
    stop_here()


def test_a_second_signal_does_not_wait(monkeypatch):
    """A step may take minutes."""
    monkeypatch.setattr(ending, "AGAIN", 0.0)
    done = []

    def act():
        with at_steps():
            send(signal.SIGINT)
            done.append("the step")
            send(signal.SIGINT)
            done.append("more")

    assert (code_of(act), done) == (130, ["the step"])


LONG = ["model.widths=[8]", "data.train_size=60", "trainer.max_epochs=100000"]


def test_a_copy_ends_with_its_parent(tmp_path):
    program = tmp_path / "parent.py"
    program.write_text(
        "import os, time\nfrom regnet.core.ending import end_with\nparent = os.getpid()\n"
        "if os.fork() == 0:\n    end_with(parent)\n    print(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    process = start(program, cwd=tmp_path)
    copy = int(process.stdout.readline())
    time.sleep(0.5)
    assert is_running(copy)
    process.kill()
    killed = time.monotonic()
    while is_running(copy):
        assert time.monotonic() < killed + 30
        time.sleep(0.01)
    finish(process)


def interrupted(folder, arguments, where, *numbers):
    """How the command ends that gets these signals once a file lies `where`."""
    process = start("regnet-train", *arguments, cwd=folder)
    end = time.monotonic() + 100
    while not list(folder.glob(where)) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    for number in numbers:
        process.send_signal(number)
    return finish(process)


def test_a_run_ends_by_a_signal(tmp_path):
    """In the test's process, once its first epoch is over."""

    def ask():
        while training.is_set() and not (tmp_path / "r" / "metrics.csv").exists():
            time.sleep(0.01)
        if training.is_set():
            send(signal.SIGTERM)

    training, asking = threading.Event(), threading.Thread(target=ask)
    training.set()
    asking.start()
    done = train("hydra.run.dir=r", *LONG, cwd=tmp_path)
    training.clear()
    asking.join()
    assert done.code == CODES[signal.SIGTERM], done.err
    assert "Traceback" not in done.out + done.err
    assert record(tmp_path / "r")["status"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "more"),
    [
        (signal.SIGTERM, ["hydra.run.dir=outputs/multirun/s/r"]),
        # packed, and by SIGINT: test_the_program_that_was_stopped_goes_on
        (signal.SIGINT, ["-m", "study=s", "seed=0,1"]),
        (signal.SIGTERM, ["-m", "study=s", "seed=0,1", "hydra/launcher=packed"]),
    ],
)
def test_a_command_that_trains_ends_by_a_signal(tmp_path, number, more):
    done = interrupted(tmp_path, [*more, *LONG], "outputs/multirun/s/*/metrics.csv", number, number)
    assert done.code == CODES[number], done.err
    assert "Traceback" not in done.out + done.err
    assert "Error" not in done.err
    assert {kept["status"] for kept in runs(tmp_path)} == {"interrupted"}


def test_a_command_that_still_imports_ends_by_a_signal(tmp_path):
    done = interrupted(tmp_path, ["hydra.run.dir=r", *LONG], "r/.hydra", signal.SIGINT, signal.SIGINT)
    assert (done.code, done.out, done.err) == (130, "", "")


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=packed"]], ids=["basic", "packed"])
def test_a_study_with_a_failed_run_has_its_table_and_exit_code_1(tmp_path, launcher):
    for _ in range(2):  # the second time only the failed one is tried again
        done = train("-m", "study=s", "seed=0,abc", *TINY, *launcher, cwd=tmp_path)
        assert done.code == 1
        assert done.err.endswith("exit code 1: of 2 runs 1 failed\n")
        assert "Not in the means, of 2 runs: 1 failed." in done.out
        assert "Traceback" not in done.out + done.err
        assert sorted(kept["status"] for kept in runs(tmp_path)) == ["completed", "failed"]


def test_a_sweeper_s_study_with_a_failed_run_has_exit_code_1(tmp_path):
    done = train("-m", "study=s", "hydra/sweeper=path", "regularizer=l2", "model.activation=Nope", *TINY, cwd=tmp_path)
    assert done.code == 1
    assert "Traceback" not in done.out + done.err


def test_output_that_nobody_reads_ends_quietly(tmp_path):
    command = f"'{PROGRAMS / 'regnet-train'}' --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.stderr == ""
    assert done.stdout in ("0\n", "141\n")


class Refusing(io.StringIO):
    """An output that takes nothing once."""

    def __init__(self, error):
        super().__init__()
        self.waiting = [error]

    def write(self, text):
        if self.waiting:
            raise self.waiting.pop()
        return super().write(text)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (BrokenPipeError(), 141, ""),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "(No space left on device): send it elsewhere"),
        (OSError(errno.EIO, "Input/output error"), 1, "(Input/output error): send it elsewhere"),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [
        (["hydra.run.dir=r", "regularizer=l2"], ["completed"]),
        (["-m", "study=s", "seed=0,1"], ["completed"]),
        (["-m", "study=s", "seed=0,1", "hydra/launcher=packed"], []),
    ],
    ids=["run", "one by one", "packed"],
)
def test_an_output_that_takes_no_more_ends_the_command_and_no_run_fails(
    tmp_path, monkeypatch, arguments, statuses, error, code, told
):
    outputs = iter([Refusing(error), io.StringIO()])
    with monkeypatch.context() as patch:
        patch.setattr("tests.helpers.commands.io", SimpleNamespace(StringIO=lambda: next(outputs)))
        done = train(*TINY, *arguments, cwd=tmp_path)
    assert (done.code, done.err) == (code, told and f"regnet-train: the output cannot be written {told}\n")
    assert [record(path.parent)["status"] for path in tmp_path.rglob("record.json")] == statuses
    assert train(*TINY, *arguments, cwd=tmp_path).code == 0


def test_a_run_that_has_its_record_is_not_interrupted_any_more(tmp_path, monkeypatch):
    """Ctrl-C while the last line is printed."""

    def stop(*_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("regnet.run.life.summary", stop)
    assert train(*TINY, "hydra.run.dir=r", cwd=tmp_path).code == 130
    assert record(tmp_path / "r")["status"] == "completed"
