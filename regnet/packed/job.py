"""What launcher and packs tell each other."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class Job:
    """One run of a study, composed but not built.

    Args:
        number: of the job in the study.
        config: as Hydra composed it, with its own node, in which ``runtime.output_dir`` is `folder`.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    config: DictConfig

    def task_config(self) -> DictConfig:
        """The task's config, a new copy."""
        return OmegaConf.masked_copy(self.config, [key for key in self.config if key != "hydra"])

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The task's config as it is written, unresolved."""
        plain = OmegaConf.to_container(self.config, resolve=False)
        del plain["hydra"]
        return plain

    def activate(self) -> None:
        """What asks Hydra about the running job is told of this one."""
        HydraConfig.instance().cfg = self.config


class Outcome(NamedTuple):
    """The record of a job, the traceback where it failed, and whether the record was there before."""

    record: dict[str, Any]
    traceback: str | None = None
    before: bool = False


class Reporter(Protocol):
    """Is told how a pack gets on."""

    def ended(self, number: int, outcome: Outcome) -> None:
        """The job of this number has its record."""

    def cannot(self, numbers: list[int], reason: str) -> None:
        """These jobs cannot be packed; nothing of them was trained."""

    def trained(self, epochs: int) -> None:
        """So many epochs more, of all jobs together."""

    def say(self, sentence: str) -> None:
        """Something that a person should know."""


class CannotPack(Exception):
    """These runs cannot be stacked; the message says why."""
