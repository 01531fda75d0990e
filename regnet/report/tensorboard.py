"""A folder for TensorBoard in which each run is called by what sets it apart from the others."""

import re
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import UserError
from ..run.record import RecordedRun
from .study import Arm, pairing, studies


def link(runs: Sequence[RecordedRun], folder: Path) -> None:
    """Make `folder/<technique and settings>, seed=0`, a link to the folder of that run, for `tensorboard --logdir`.

    A run's own folder is named by all its overrides, by which a study that goes on finds it again; TensorBoard would
    show what all of them share once for each. Links of an earlier call are replaced, all else is left alone.

    Raises:
        UserError: the links cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if old.is_symlink():
                old.unlink()
        for name, run in named(runs).items():
            (folder / name).symlink_to(run.folder.resolve(), target_is_directory=True)
    except OSError as error:
        raise UserError(
            f"--tensorboard {folder} cannot be written ({error.strerror}): name a folder of its own for the links."
        ) from error


def named(runs: Sequence[RecordedRun]) -> dict[str, RecordedRun]:
    """Each run under a name that is safe as that of a file; where two would share one, they are numbered."""
    compared = studies(runs)
    several = len(compared) > 1
    found: dict[str, RecordedRun] = {}
    for number, study in enumerate(compared, 1):
        for arm in study.arms:
            for run in arm.runs:
                words = arm.label.replace(" + ", "+").split()
                text = f"{number}_" * several + ",".join([*words, *_repetition(arm, run)])
                name = unique = re.sub(r"[^\w.,=+\-\[\]]+", "_", text)[:150]
                count = 1
                while unique in found:
                    unique, count = f"{name}_{count + 1}", count + 1
                found[unique] = run
    return found


def _repetition(arm: Arm, run: RecordedRun) -> list[str]:
    """The seed, the split and the version of regnet, each where the arm has several."""
    keys = zip(("seed", "split", "regnet"), *map(pairing, (run, *arm.runs)), strict=True)
    return [f"{key}={own}" for key, own, *all_ in keys if len(set(all_)) > 1]
