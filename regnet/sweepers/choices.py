"""The runs of a study by what was chosen for them: compared by their overrides, and moved from study to study."""

from collections.abc import Collection, Iterable
from pathlib import Path

from ..core.files import writing
from ..core.overrides import read, written
from ..run.identity import WATCHING
from ..run.lock import FolderLock
from ..run.record import RecordedRun
from .space import REPEATED


def settings_of(overrides: Iterable[str], without: Collection[str] = tuple(REPEATED)) -> dict[str, str]:
    """What overrides set, as values, without seed and split, the study and what changes no result."""
    leaves = [leaf for one in read(overrides) for leaf in one.leaves]
    own = [leaf for leaf in leaves if leaf.parts[0] not in ("study", "hydra", *WATCHING) and leaf.target not in without]
    return {
        leaf.target: f"~{leaf.target}" if leaf.sign == "~" else written(leaf.value, repr, leaf.parts[-1])
        for leaf in own
    }


def move(run: RecordedRun, study: Path, other: Path) -> bool:
    """Moves a run's folder from one study to another; not one that a process is training, nor onto another run."""
    place = other / run.folder.relative_to(study)
    lock = FolderLock(run.folder)
    if place.exists() or not lock.take():
        return False
    try:
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            run.folder.rename(place)
    finally:
        lock.release()
    return True
