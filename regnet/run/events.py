"""TensorBoard event files of hundreds of runs at once."""

import os
import socket
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

NUMBERS = count()


class EventFile:
    """An event file that is open only while it is written to, and all scalars of a step are one event.

    torch's SummaryWriter keeps a file and a thread for each run, and 0.06 ms for each scalar.

    Args:
        purge_step: events of an earlier file from this step on are void, as those of a run that was cut off.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        place = f"{socket.gethostname()}.{os.getpid()}.{next(NUMBERS):06d}"  # TensorBoard reads in the names' order
        self.path = folder / f"events.out.tfevents.{int(time.time()):010d}.{place}"
        self.waiting = [Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()]
        if purge_step is not None:
            start = SessionLog(status=SessionLog.START)
            self.waiting.append(Event(wall_time=time.time(), step=purge_step, session_log=start).SerializeToString())

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.add(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step)

    def add(self, summary: Summary, step: int | None = None) -> None:
        self.waiting.append(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())

    def flush(self) -> None:
        with self.path.open("ab") as file:
            writer = RecordWriter(file)
            for event in self.waiting:
                writer.write(event)
        self.waiting.clear()
