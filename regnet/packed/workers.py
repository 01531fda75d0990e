"""Packs on all cores: on a CPU each core trains a pack of its own, in a process of its own."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pkgutil import resolve_name
from typing import Any

import torch
from lightning.pytorch.accelerators import CUDAAccelerator

from ..compose.shared_data import SharedData
from ..core.ending import end_with
from ..core.errors import Unwritable
from ..core.exact import Exact
from ..core.threads import available
from ..training.trace import prepare_recording
from .job import Job, Reporter
from .memory import out_of_memory
from .pack import Pack
from .pipes import SECONDS_TO_RECORD, PipeReporter, relay


def train(
    jobs: Sequence[Job], size: int | None, reporter: Reporter, data: SharedData | None = None, most: int | None = None
) -> None:
    """Trains jobs of one kind, in packs of at most `size`; every job is told of to `reporter`, once.

    Small networks gain nothing from more threads: on a CPU the jobs are dealt out to processes, one for each core
    but at most `most`, which begin as copies of this one with all that it has imported, and with `data`, which packs
    may share. Jobs whose process was killed go on in smaller packs, and at last one at a time. Jobs for which the
    system starts no process are trained in this one.
    """
    if (reason := _alone(jobs[0])) is not None:
        reporter.cannot([job.number for job in jobs], reason)
        return
    before, cores, data = torch.get_num_threads(), available(), data or SharedData()
    count = min(most or cores, len(jobs))
    if sys.platform != "linux" or not _on_cpu(jobs[0]) or (count < 2 and most is None):
        Pack(jobs, size, reporter, data).run()
        return
    torch.set_num_threads(1)  # OpenMP's threads would be lost to the copies, which would wait for them
    with suppress(Exception):  # each job that it concerns will tell
        jobs[0].activate()
        data.of(jobs[0].task_config())  # read once, before the processes part
        prepare_recording()
    # runs of one seed side by side, as they share their batches
    order = sorted(jobs, key=lambda job: (str(job.unresolved.get("seed")), job.number))
    left = {job.number: job for job in order}
    shares = [order[i * len(order) // count : (i + 1) * len(order) // count] for i in range(count)]
    workers = _Workers(shares, size, reporter, left, data, threads=max(1, cores // count))
    workers.run()
    rest, largest = list(left.values()), min(size or len(jobs), max(map(len, shares)))
    if rest and workers.refused:
        reporter.say(f"packed: the system starts no further process ({workers.refused}); goes on in this one")
        Pack(rest, size, reporter, data).run()  # on one thread, as no other may be started either
        rest = []
    torch.set_num_threads(before)
    if not rest:
        return
    killed = "process was killed, probably as memory ran out"
    if largest > 1:
        largest = (largest + 1) // 2
        reporter.say(f"packed: a {killed}; goes on with packs of {largest}")
        train(rest, largest, reporter, data)
    elif count > 1:
        reporter.say(f"packed: a {killed}; goes on with one process")
        train(rest, 1, reporter, data, most=1)
    else:
        Pack(rest, size, reporter, data).give_up(f"its {killed}")


def _alone(job: Job) -> str | None:
    """Why a regularizer of these jobs acts on a single run only; None if all can be stacked."""
    for name, node in job.unresolved["regularizer"].items():
        target = node.get("_target_") if isinstance(node, dict) else None
        with suppress(Exception):  # building it will tell
            kind = resolve_name(target or "")
            if isinstance(kind, type) and issubclass(kind, Exact) and kind.unpackable:
                return f"regularizer.{name}: {kind.unpackable}"
    return None


def _on_cpu(job: Job) -> bool:
    wanted = str(job.unresolved["trainer"]["accelerator"])
    return wanted == "cpu" or (wanted == "auto" and not CUDAAccelerator.is_available())


class _Workers:
    """Processes that train a share of the jobs each, and tell of it through a pipe."""

    def __init__(
        self,
        shares: Sequence[Sequence[Job]],
        size: int | None,
        reporter: Reporter,
        left: dict[int, Job],
        data: SharedData,
        threads: int,
    ) -> None:
        self.reporter, self.left = reporter, left
        self.processes: dict[Connection, BaseProcess] = {}
        self.refused = ""  # why the system started fewer
        context = multiprocessing.get_context("fork")
        sys.stdout.flush()
        try:
            for share in shares:
                receiver, sender = context.Pipe(duplex=False)
                pack = Pack(share, size, PipeReporter(sender), data, processes=len(shares))
                process = context.Process(target=_work, args=(pack, sender, threads, os.getpid()), daemon=True)
                process.start()
                sender.close()
                self.processes[receiver] = process
        except OSError as error:
            self.refused = error.strerror or str(error)

    def run(self) -> None:
        try:
            while self.processes:
                for receiver in self._ready():
                    self._hear(receiver)
        except BaseException:
            self._interrupt()
            raise

    def _ready(self, timeout: float | None = None) -> list[Any]:
        """The pipes in which something lies, once there is one."""
        return wait(list(self.processes), timeout)

    def _hear(self, receiver: Connection) -> None:
        try:
            message = receiver.recv()
        except (EOFError, OSError):  # OSError: it was killed in the middle of a message
            self.processes.pop(receiver).join()
        else:
            relay(message, self.reporter, self.left)

    def _interrupt(self) -> None:
        """Lets each process record that it was interrupted."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)  # type: ignore[arg-type]  # it was started
        while self.processes and (heard := self._ready(SECONDS_TO_RECORD)):
            for receiver in heard:  # else it would wait for a place in the pipe
                try:
                    receiver.recv()
                except (EOFError, OSError):
                    self.processes.pop(receiver).join()
        for process in self.processes.values():
            process.kill()
        signal.signal(signal.SIGINT, before)


def _work(pack: Pack, sender: Connection, threads: int, parent: int) -> None:
    with suppress(RuntimeError):  # the system starts no thread: then it ends when it next has something to tell
        end_with(parent)
    torch.set_num_threads(threads)
    try:
        pack.run()
    except Unwritable as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # by which the parent ends all processes when it hears of it
        sender.send(("unwritable", (str(error),)))
    except (KeyboardInterrupt, SystemExit, BrokenPipeError):  # BrokenPipeError: there is nobody left to tell
        os._exit(1)
    except Exception as error:
        if not out_of_memory(error):  # else it counts as killed: smaller packs may find memory
            sender.send(("raised", (traceback.format_exc(),)))
    os._exit(0)  # at once: the exit handlers that this copy inherited are for its parent to run
