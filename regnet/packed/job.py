"""What launcher and packs tell each other."""

import logging
import pickle
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ..compose.hydra_private import Dumper
from ..core.console import LogFile
from ..core.files import write, writing


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
        copy: DictConfig = pickle.loads(pickle.dumps(self.config))  # a fifth of the time of OmegaConf's own copies
        with read_write(copy), open_dict(copy):
            del copy["hydra"]
        return copy

    @cached_property
    def written(self) -> dict[str, Any]:
        """The whole config as it is written, unresolved: plain data."""
        plain: Any = OmegaConf.to_container(self.config, resolve=False, enum_to_str=True)
        return plain

    @cached_property
    def unresolved(self) -> dict[str, Any]:
        """The task's part of `written`."""
        return {name: node for name, node in self.written.items() if name != "hydra"}

    def write_config(self) -> None:
        """What Hydra leaves in a run's folder."""
        place = self.folder / str(self.config.hydra.output_subdir)
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
        hydra = self.written["hydra"]
        parts = {"config": self.unresolved, "hydra": {"hydra": hydra}, "overrides": hydra["overrides"]["task"]}
        for name, part in parts.items():
            text = yaml.dump(part, Dumper=Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
            write(place / f"{name}.yaml", text.encode())

    def log(self) -> logging.Logger:
        """The log file that a run alone has in its folder, and nothing else."""
        logger = logging.Logger(str(self.folder))
        path = self.folder / f"{self.config.hydra.job.name}.log"
        handler = LogFile(path, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        return logger

    def activate(self) -> None:
        """What asks Hydra about the running job is told of this one."""
        HydraConfig.instance().cfg = self.config  # type: ignore[assignment]  # Hydra's own is a DictConfig too


class Outcome(NamedTuple):
    """The record of a job; of one that was there before, what is to be said of it."""

    record: dict[str, Any]
    before: str = ""


class Reporter(Protocol):
    """Is told how a pack gets on."""

    def ended(self, number: int, outcome: Outcome) -> None:
        """The job of this number has its record."""

    def taken(self, number: int) -> None:
        """Another process trains the job of this number."""

    def cannot(self, numbers: list[int], reason: str) -> None:
        """These jobs cannot be packed; nothing of them was trained."""

    def trained(self, epochs: int) -> None:
        """So many epochs more, of all jobs together."""

    def say(self, sentence: str) -> None:
        """Something that a person should know."""


class CannotPack(Exception):
    """These runs cannot be stacked; the message says why."""
