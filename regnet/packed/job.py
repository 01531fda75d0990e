"""What launcher and packs tell each other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig


@dataclass(frozen=True)
class Job:
    """One run of a study, composed but not built.

    Args:
        number: of the job in the study.
        folder: exists, with ``.hydra/`` in it.
        cfg: the task's config, not resolved.
        hydra: the whole of Hydra's, as `HydraConfig.set_config` takes it.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    cfg: DictConfig
    hydra: DictConfig


class Outcome(NamedTuple):
    """The record of a job, and the traceback where it failed."""

    record: dict[str, Any]
    traceback: str | None


class CannotPack(Exception):
    """These runs cannot be stacked; the message says why."""
