"""Whether a folder holds this very run already: done, or cut off where it can go on."""

import shutil
from pathlib import Path
from typing import Any

from .record import DamagedRecord, read_record, read_text

FINAL = ("completed", "diverged")  # another try would end the same way


def finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The record of this very run, if it lies in `folder` and another try would end the same way."""
    try:
        record = read_record(folder)
    except DamagedRecord:
        return None
    same = record is not None and record.get("fingerprint") == fingerprint
    return record if same and record["status"] in FINAL else None


def resume_from(folder: Path, fingerprint: str) -> Path | None:
    """The last checkpoint of this very run, or None; what another run left in `folder` is cleared away."""
    checkpoints = folder / "checkpoints"
    owner = checkpoints / "fingerprint"
    last = checkpoints / "last.ckpt"
    if last.is_file() and _text_of(owner) == fingerprint:
        return last
    if not is_rank_zero():  # the first process has cleared the folder, and has begun to fill it
        return None
    shutil.rmtree(checkpoints, ignore_errors=True)
    for stale in [*folder.glob("events.out.tfevents.*"), folder / "metrics.csv", folder / "record.json"]:
        stale.unlink(missing_ok=True)
    checkpoints.mkdir(parents=True)
    owner.write_text(fingerprint)
    return None


def _text_of(path: Path) -> str | None:
    try:
        return read_text(path)
    except (OSError, ValueError):
        return None


def is_rank_zero() -> bool:
    """Whether this is the first of DDP's processes, which alone writes and clears files."""
    from lightning.pytorch.utilities.rank_zero import rank_zero_only

    return rank_zero_only.rank == 0
