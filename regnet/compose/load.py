"""A run that has been trained, from its folder: its network, its config, its record and its data."""

import copy
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig
from torch import nn

from ..core.errors import UserError
from ..core.overrides import read
from ..data import DataModule, Dataset
from ..data.vision import offline
from ..run.checkpoints import chosen_checkpoint, load_objective
from ..run.record import DamagedRecord, Record, find_runs, read_record, read_text
from ..run.schema import MEASURED
from ..training.objective import Objective
from .make import make
from .mistakes import sentence
from .network import Ends, build_objective
from .regularizers import build_regularizers
from .trust import trusted

LONGEST = 2**17  # characters of Hydra's own settings, which take some 6,000


def load(folder: str | Path, allow: Sequence[str] = ()) -> "TrainedRun":
    """The run in `folder`, which may be a stranger's: nothing that its record names is imported or called but
    networks of regnet, torch and torchvision, and regnet's own regularizers and data.

    Args:
        allow: modules of your own, such as ``["my.pkg"]``, or single classes, that the record may name too. They are
            found as any import is, and in the current folder.

    Raises:
        UserError: there is no finished run, it names code that is not allowed, or its checkpoint is damaged.
    """
    run = TrainedRun.read(folder, allow)
    _ = run.objective  # what is wrong with it is told now
    return run


@dataclass(frozen=True)
class TrainedRun:
    """A run with its weights at the epoch that validation chose.

    Args:
        record: as `record.json` in the folder (`docs/record.md`): status, metrics, config, and more.
        allow: what the record may name beside the classes that are known.
        where: how errors begin that are about the folder.
    """

    folder: Path
    record: Record = field(repr=False)
    allow: tuple[str, ...] = field(default=(), repr=False)
    where: str = field(default="", repr=False)

    @classmethod
    def read(cls, folder: str | Path, allow: Sequence[str] = (), where: str = "") -> "TrainedRun":
        """Raises UserError: there is no record, or it is damaged."""
        folder, where = Path(folder), where or str(folder)
        try:
            record = read_record(folder)
        except DamagedRecord as error:
            raise UserError(str(error)) from error
        if record is None:
            inside = next((run for run in find_runs(folder) if run.folder != folder), None)
            example = where.replace(str(folder), shlex.quote(str(inside.folder))) if inside else ""
            hint = f"; it holds runs, such as {example}" if inside else ""
            raise UserError(f"{where} is not the folder of a finished run: it has no record.json{hint}")
        return cls(folder, record, (allow,) if isinstance(allow, str) else tuple(allow), where)

    @property
    def status(self) -> str:
        """``completed``, ``cut`` (by time or fast_dev_run), ``diverged``, ``failed`` or ``interrupted``; the first two
        have metrics and a network."""
        return self.record["status"]

    @property
    def metrics(self) -> dict[str, Any]:
        """Of the chosen epoch: ``metrics["test"]["accuracy"]``; empty where nothing was measured."""
        return self.record.get("metrics") or {}

    @cached_property
    def config(self) -> DictConfig:
        """As the run was trained. Raises UserError: it names what is not allowed."""
        with self.in_one_sentence():
            return trusted(self.record.get("config") or {}, self.allow, self.where)

    @property
    def network(self) -> nn.Module:
        """Takes inputs (B, *shape) as the loaders of `data` give them, on the CPU; in evaluation mode."""
        return self.objective.network

    @cached_property
    def objective(self) -> Objective:
        """The network with its losses, on the CPU, in evaluation mode.

        Raises:
            UserError: the run has no result, its record names what is not allowed, or its checkpoint is damaged.
        """
        if self.status not in MEASURED:
            raise UserError(f"{self.where} has nothing to evaluate: {self.status}, {self.record['reason']}")
        with self.in_one_sentence():
            config = copy.deepcopy(self.config)
            if "weights" in config.model and config.model._target_.startswith("regnet.models."):
                config.model.weights = None  # a file that training began at; the checkpoint has all of them

            def load() -> Dataset:
                with offline():
                    return make(self.data_node(), "data").source.load()

            ends = Ends.unfilled(config.data.shape, config.data.get("inputs") or "standardize", load)
            objective = build_objective(config, ends, build_regularizers(config), read(self.record["overrides"]))
            load_objective(objective, chosen_checkpoint(self.folder / "checkpoints"))
        return objective.eval()

    @cached_property
    def data(self) -> DataModule:
        """The run's own data, split as for the run: ``data.train``, ``data.val``, ``data.test`` with ``.x`` and ``.y``.

        They are read when first asked for, from where the record says, and never downloaded.

        Raises:
            UserError: they are not there any more.
        """
        with self.in_one_sentence(), offline():
            data = make(self.data_node(), "data")
            data.setup()
        return data

    def data_node(self) -> DictConfig:
        """The config of the data. Relative paths begin where the run was started, if they are still there."""
        node = copy.deepcopy(self.config).data
        try:
            start = Path(_plain_yaml(self.folder / ".hydra" / "hydra.yaml")["hydra"]["runtime"]["cwd"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError, yaml.YAMLError):
            return node
        for key in ("path", "root"):
            if isinstance(node.source.get(key), str) and (path := Path(start, node.source[key]).expanduser()).exists():
                node.source[key] = str(path)
        return node

    @contextmanager
    def in_one_sentence(self) -> Iterator[None]:
        """Whatever goes wrong with what a record says is told in one sentence."""
        try:
            with own_modules(self.allow), torch.inference_mode(False), torch.enable_grad():  # whatever the caller has
                yield
        except UserError:
            raise
        except Exception as error:
            reason = sentence(error, "evaluate")
            raise UserError(f"{self.where} cannot be built again from its record: {reason}") from error


@contextmanager
def own_modules(named: object = True) -> Iterator[None]:
    """A person's own modules may lie in the current folder, which may also be a stranger's: it is looked through last,
    and only where the person has `named` some."""
    here = str(Path.cwd())
    added = bool(named) and here not in sys.path
    if added:
        sys.path.append(here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _plain_yaml(path: Path) -> Any:
    """What Hydra wrote there. Raises ValueError for what it never writes: aliases, by which a few lines stand for more
    than any memory holds, or a long text.
    """
    text = read_text(path)
    if len(text) > LONGEST or any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
        raise ValueError(f"{path} was not written by Hydra")
    return yaml.safe_load(text)
