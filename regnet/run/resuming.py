"""Whether a folder holds this very run already: done, or cut off where it can go on."""

import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ..core.files import writing
from .metrics_csv import read_rows
from .record import RECORD, DamagedRecord, read_record, read_text

log = logging.getLogger(__name__)

FINAL = ("completed", "diverged")  # another try would end the same way


def finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The record of this very run, if it lies in `folder` and another try would end the same way."""
    try:
        record = read_record(folder)
    except DamagedRecord:
        return None
    if record is None or record.get("fingerprint") != fingerprint:
        return None
    return record if record["status"] in FINAL else None


def resumable(folder: Path, fingerprint: str) -> Path | None:
    """The last checkpoint of this very run; None without one.

    Where it, or what it cannot do without, is damaged, the damaged file is kept aside: the run begins again. So is a
    record that cannot be read, or is that of a later version, which this run's own would replace.
    """
    try:
        read_record(folder)
    except DamagedRecord as error:
        log.warning("%s; it is kept as %s", error, _aside(folder / RECORD, folder))
    checkpoints = folder / "checkpoints"
    last, owner = checkpoints / "last.ckpt", checkpoints / "fingerprint"
    if not last.is_file():
        return None
    text = _text_of(owner)
    if text is None or not re.fullmatch("[0-9a-f]{64}", text):
        found: tuple[Path, str] | None = (owner, "it does not tell whose checkpoints these are")
    elif text != fingerprint:
        return None
    else:
        found = damage(folder)
    if found is None:
        return last
    path, reason = found
    kept = _aside(path, folder)
    log.warning("%s is damaged (%s); it is kept as %s, and the run begins again", path, reason, kept)
    return None


def damage(folder: Path) -> tuple[Path, str] | None:
    """The first damaged file of those that a run goes on from, and why; None if all are whole."""
    from .checkpoints import read_whole  # with torch

    last, best, metrics = folder / "checkpoints/last.ckpt", folder / "checkpoints/best.ckpt", folder / "metrics.csv"
    for path in (best, last):
        try:
            saved = read_whole(path) if path.exists() else {}
        except Exception as error:  # zipfile and torch raise anything
            return path, " ".join(str(error).split())[:120]
    rows = saved.get("rows", 0)
    try:
        if len(read_rows(metrics)) < rows:
            return metrics, f"fewer than {rows} rows"
    except (OSError, ValueError) as error:
        return metrics, str(error)
    return None


def clear(folder: Path, fingerprint: str) -> None:
    """What another run left in `folder` goes; the folder is this run's."""
    checkpoints = folder / "checkpoints"
    with writing(checkpoints):
        shutil.rmtree(checkpoints, ignore_errors=True)
        for stale in [*folder.glob("events.out.tfevents.*"), folder / "metrics.csv", folder / "record.json"]:
            stale.unlink(missing_ok=True)
        checkpoints.mkdir(parents=True)
        (checkpoints / "fingerprint").write_text(fingerprint)


def _aside(path: Path, folder: Path) -> str:
    """The name in `folder` that the damaged file has from now on."""
    aside = folder / f"{path.name}.damaged"
    if os.path.lexists(path):
        path.replace(aside)
    return aside.name


def _text_of(path: Path) -> str | None:
    try:
        return read_text(path)
    except (OSError, ValueError):
        return None


def is_rank_zero() -> bool:
    """Whether this is the first of DDP's processes, which alone writes and clears files."""
    from lightning.pytorch.utilities.rank_zero import rank_zero_only

    return rank_zero_only.rank == 0  # type: ignore[attr-defined]
