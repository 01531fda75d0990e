"""The life of a run, whoever trains it: it begins in a folder, or goes on there, and ends with a record."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from omegaconf import DictConfig

from .. import __version__
from ..core.errors import Diverged, Unwritable
from ..core.files import CannotWrite, remove_parts, stops_if_unwritable, unwritable
from ..core.metrics import judged_by
from .identity import identity
from .lock import FolderLock, Taken
from .record import Record, flat, write_record
from .resuming import clear, finished, is_rank_zero, resumable
from .schema import MEASURED, SCHEMA_VERSION
from .study import resolved_config

log = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "lightning", "hydra-core")


class Run:
    """One run in its folder, which is this process's from `begin` to `end`.

    Args:
        cfg: composed; building fills in what it finds in the data, which the record then has as well.
        overrides: as typed.
        launcher: by which it was started.
        sentence: gives the one sentence for an error that ended the run.
        place: of the run in its study, with which its log line begins.
        log: takes the log line.
    """

    def __init__(
        self,
        cfg: DictConfig,
        folder: Path,
        overrides: Sequence[str] = (),
        launcher: str = "basic",
        sentence: Callable[[Exception], str] = str,
        place: str = "",
        log: logging.Logger = log,
    ) -> None:
        self.cfg, self.folder, self.sentence, self.place, self.log = cfg, folder, sentence, place, log
        self.fingerprint = identity(cfg)
        self.lock = FolderLock(folder)
        self.clock = time.monotonic()
        self.error: BaseException | None = None
        self.ended = False
        self.record: Record = {
            "schema": SCHEMA_VERSION,
            "status": "failed",
            "reason": None,
            "overrides": list(overrides),
            "seed": seed if type(seed := cfg.get("seed")) is int else None,
            "epochs": None,
            "best_epoch": None,
            "steps": None,
            "step_operations": None,
            "threads": None,
            "metrics": None,
            "measures": None,
            "device": None,
            "launcher": launcher,
            "fingerprint": self.fingerprint,
            "versions": versions(),
            "started": datetime.now(timezone.utc).isoformat(),
        }

    def begin(self, wait: bool = True) -> Record | None:
        """The record of this very run that the folder holds already, if another try would end the same way.

        Else it is to be trained, and no other process can begin it meanwhile; one that trains it is waited for.

        Raises:
            Taken: another process trains it, and `wait` is false.
            Unwritable: the folder cannot be written.
        """
        record = finished(self.folder, self.fingerprint)
        if record is not None or not is_rank_zero():
            return record
        with stops_if_unwritable(self.folder):
            if not self.lock.take():
                if not wait:
                    raise Taken(self.folder)
                self.log.info("%s  is being trained by another process; waits for it", self.place or self.folder)
                self.lock.take(wait=True)
        if (record := finished(self.folder, self.fingerprint)) is not None:  # it has ended meanwhile
            self.lock.release()
        return record

    def checkpoint(self) -> Path | None:
        """Where this very run was cut off; None for a new beginning, for which the folder is cleared.

        The run's seconds count from here: what a process imports before its first run is not part of them.

        Raises:
            Unwritable: the folder cannot be written.
        """
        self.clock = time.monotonic()
        with stops_if_unwritable(self.folder):
            if (last := resumable(self.folder, self.fingerprint)) is None and is_rank_zero():
                clear(self.folder, self.fingerprint)
            if is_rank_zero():
                remove_parts(self.folder)
                remove_parts(self.folder / "checkpoints")
        return last

    def release(self) -> None:
        """Leaves the run to others."""
        self.lock.release()

    def end(
        self, result: Mapping[str, Any] | None = None, error: BaseException | None = None, seconds: float | None = None
    ) -> Record:
        """Writes the record of what came out, or of what went wrong, and one line to the log.

        What interrupts a run that has its record changes nothing of it.

        Raises:
            Unwritable: the record cannot be written, or the error is that another file cannot.
        """
        if self.ended:
            return self.record
        took = time.monotonic() - self.clock if seconds is None else seconds
        if isinstance(error, Exception) and (stop := unwritable(error, self.folder)):
            raise stop from error
        self.error = error
        outcome = failure(error, self.sentence) if error is not None else result or {}
        self.record |= {**outcome, "config": resolved_config(self.cfg), "seconds": took}
        if is_rank_zero():
            interrupted = self.record["status"] == "interrupted"
            with suppress(CannotWrite) if interrupted else stops_if_unwritable(self.folder):
                write_record(self.folder, self.record)
        self.ended = True
        self.release()
        if is_rank_zero():
            if self.record["status"] == "failed" or isinstance(error, Unwritable):
                self.log.debug("traceback", exc_info=error)  # to the run's log only
            level = logging.INFO if self.record["status"] in MEASURED else logging.ERROR
            level = logging.DEBUG if isinstance(error, Unwritable) else level  # the command ends with this sentence
            self.log.log(level, "  ".join(filter(None, (self.place, summary(self.record)))))
        return self.record


def failure(error: BaseException, sentence: Callable[[Exception], str] = str) -> dict[str, Any]:
    """How a run ended that has no result."""
    if not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit
        reason = str(error) if isinstance(error, Unwritable) else "stopped before its end"
        return {"status": "interrupted", "reason": reason}
    return {"status": "diverged" if isinstance(error, Diverged) else "failed", "reason": sentence(error)}


def summary(record: Mapping[str, Any]) -> str:
    """One line on how a run ended."""
    told = "" if record["status"] == "completed" else f"{record['status']}: {record['reason']}"
    if record["status"] not in MEASURED:
        return told
    metrics = record["metrics"]
    name = judged_by(metrics["val"])
    numbers = "  ".join(f"{split} {metrics[split][name]:.4g}" for split in ("train", "val", "test"))
    epoch = f"epoch {record['best_epoch'] + 1} of {record['epochs']}"
    return "  ".join(filter(None, (f"{name} {numbers}  ({epoch}, {record['seconds']:.1f} s)", told)))


def score(record: Mapping[str, Any]) -> float:
    """The monitored metric of the chosen epoch; without a monitor that by which the task is judged."""
    metrics = record["metrics"] or {}
    monitor = record["config"]["monitor"] or f"val/{judged_by(metrics.get('val', ()))}"
    value = flat(metrics).get(monitor)
    return float("nan") if value is None else value


@cache
def versions() -> dict[str, str]:
    # the metadata of regnet itself are those of its installation, which an editable one outgrows
    return {"regnet": __version__} | {name: version(name) for name in PACKAGES} | {"python": python_version()}
