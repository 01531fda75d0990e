"""TensorBoard event files of hundreds of runs at once."""

import os
import socket
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from ..core.files import writing
from .loggers import STOPPED, SUCCESS, session_end, session_start

NUMBERS = count()
START = "events.out.tfevents."  # of their names


class EventFile:
    """An event file that is open only while it is written to, and all scalars of a step are one event.

    torch's SummaryWriter keeps a file and a thread for each run, and 0.06 ms for each scalar.

    Args:
        purge_step: events of an earlier file from this step on are void, as those of a run that was cut off.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        place = f"{socket.gethostname()}.{os.getpid()}.{next(NUMBERS):06d}"  # TensorBoard reads in the names' order
        self.path = folder / f"{START}{int(time.time()):010d}.{place}"
        self.length = 0  # of the file
        self.waiting = [Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()]
        if purge_step is not None:
            start = SessionLog(status=SessionLog.START)
            self.waiting.append(Event(wall_time=time.time(), step=purge_step, session_log=start).SerializeToString())

    def log_hyperparams(self, values: Mapping[str, Any]) -> None:
        self._add(session_start(values))

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._add(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step)

    def finalize(self, status: str) -> None:
        if status != STOPPED:
            self._add(session_end(status == SUCCESS))
        self.save()

    def save(self) -> None:
        with writing(self.path), self.path.open("ab") as file:
            file.truncate(self.length)  # a full disk may have cut the last event off
            writer = RecordWriter(file)
            for event in self.waiting:
                writer.write(event)
        self.length = self.path.stat().st_size
        self.waiting.clear()

    def _add(self, summary: Summary, step: int | None = None) -> None:
        self.waiting.append(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())


def put_behind(folder: Path) -> None:
    """Lets the event files of `folder` come before those that are begun from now on, whatever the clock says.

    TensorBoard reads the files in the order of their names, which begin with the time.
    """
    files = sorted(folder.glob(f"{START}*"))
    for i, path in enumerate(files):
        stamp, _, rest = path.name.removeprefix(START).partition(".")
        latest = int(time.time()) - len(files) + i
        if stamp.isdecimal() and int(stamp) > latest:
            path.rename(path.with_name(f"{START}{latest:010d}.{rest}"))
