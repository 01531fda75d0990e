"""Files that are written whole or not at all, and what is told of those that cannot be."""

import errno
import logging
import os
import sqlite3
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from regnet.core.console import ConsoleHandler, LogFile
from regnet.core.ending import whole_output
from regnet.core.errors import Unwritable
from regnet.core.files import CannotWrite, remove_parts, stops_if_unwritable, write, writing
from regnet.run.events import EventFile
from regnet.run.metrics_csv import MetricsFile, read_rows
from tests.helpers.disk import no_file_longer_than


def test_a_file_that_cannot_be_written_is_as_it_was_and_leaves_no_part(tmp_path):
    path = tmp_path / "file"
    write(path, b"old")
    with no_file_longer_than(5), pytest.raises(CannotWrite) as error:
        write(path, b"much too long")
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == b"old"
    assert [left.name for left in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".last.ckpt.1.part", "mine.part", ".mine"):
        (tmp_path / name).touch()
    remove_parts(tmp_path)
    assert sorted(left.name for left in tmp_path.iterdir()) == [".mine", "mine.part"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space there"),
        (errno.EDQUOT, "free some space there"),
        (errno.EFBIG, "raise the limit that ulimit -f shows"),
        (errno.EROFS, "make it writable, or choose another folder"),
        (errno.EACCES, "make it writable, or choose another folder"),
    ],
)
def test_one_sentence_says_what_would_be_right(number, remedy):
    with pytest.raises(Unwritable) as stop, stops_if_unwritable(Path("run")), writing(Path("run/metrics.csv")):
        raise OSError(number, os.strerror(number))
    assert str(stop.value) == f"run/metrics.csv cannot be written ({os.strerror(number)}): {remedy}"


def test_an_error_that_comes_of_a_full_disk_is_told_as_such():
    error = RuntimeError("a logger fails")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(Unwritable, match=r"^run cannot be written \(No space"), stops_if_unwritable(Path("run")):
        raise error


@pytest.mark.skipif(sys.version_info < (3, 11), reason="sqlite3 does not tell the kinds of its errors")
def test_a_full_database_of_a_logger_is_told_as_such():
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count=1")
        with pytest.raises(Unwritable) as stop, stops_if_unwritable(Path("run")):
            database.execute("CREATE TABLE runs (name)")
    full = "the database of a logger cannot be written (database or disk is full): free some space there"
    assert str(stop.value) == full


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied", "data.csv"), ValueError("mine")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, stops_if_unwritable(Path("run")):
        raise error
    assert raised.value is error


def test_rows_that_a_full_disk_cut_off_are_written_again(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [{"epoch": i, "step": 10 * i, "val/loss": i / 3} for i in range(4)]
    file = MetricsFile(path)
    file.start(rows[:2])
    with no_file_longer_than(path.stat().st_size + 5), pytest.raises(CannotWrite):
        file.write(rows)
    assert read_rows(path) == rows[:2]
    file.write(rows)
    rows[3]["mine"] = 0.5
    rows[2] = {**rows[2], "val/loss": 0.25}
    file.changed(2)
    with no_file_longer_than(5), pytest.raises(CannotWrite):
        file.write(rows)
    assert len(read_rows(path)) == 4
    file.write(rows)
    assert read_rows(path) == rows


def test_events_that_a_full_disk_cut_off_are_written_again(tmp_path):
    events = EventFile(tmp_path)
    events.log_metrics({"loss": 1.0}, 0)
    events.save()
    events.log_metrics({"loss": 2.0}, 1)
    with no_file_longer_than(events.path.stat().st_size + 5), pytest.raises(CannotWrite):
        events.save()
    events.log_metrics({"loss": 3.0}, 2)
    events.save()
    found = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in found] == [(0, 1.0), (1, 2.0), (2, 3.0)]


class Full(StringIO):
    """An output that was redirected to a file on a full disk."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_on_a_full_disk_is_silent_and_an_output_ends_the_command(monkeypatch, capsys):
    line = logging.LogRecord("regnet", logging.INFO, __file__, 1, "a line", None, None)
    file = LogFile("/dev/full", delay=True)
    file.emit(line)
    file.close()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stdout", Full())
    told = r"^the output cannot be written \(No space left on device\): send it elsewhere$"
    with pytest.raises(Unwritable, match=told), whole_output():
        ConsoleHandler().emit(line)
