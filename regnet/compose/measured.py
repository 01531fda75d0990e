"""Measuring runs that are finished: what is found is added to their records, and nothing is trained."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from ..core.files import stops_if_unwritable
from ..core.overrides import canonical
from ..core.threads import computing
from ..data import DataModule
from ..data.vision import offline
from ..measures.at_end import added, at_end
from ..run.lock import FolderLock
from ..run.record import Record, read_record, write_record
from ..run.schema import MEASURED
from .load import TrainedRun
from .make import make
from .measures import build_measures, check_measures
from .trust import targets


def missing(record: Record, measure: DictConfig) -> list[str]:
    """The names of those measures that the record has not, or with other settings, or not with success."""
    config = (record.get("config") or {}).get("measure") or {}
    done = record.get("measures") or {}
    wanted: Any = OmegaConf.to_container(measure, resolve=True)

    def has(name: str) -> bool:
        return name in done and done[name]["reason"] is None and _same(config.get(name), wanted[name])

    return [name for name in wanted if not has(name)] if record["status"] in MEASURED else []


def add_measures(folder: Path, measure: DictConfig, allow: Sequence[str] = (), where: str = "") -> Record:
    """The record of the run in `folder`, with what those measures find that it had not.

    Another process that has the run is waited for.

    Raises:
        UserError: it is no finished run, its data are gone, or a measure has no meaning for them.
    """
    lock = FolderLock(folder)
    with stops_if_unwritable(folder):
        lock.take(wait=True)
    try:
        run = TrainedRun.read(folder, allow, where)
        names = missing(run.record, measure)
        if not names:
            return run.record
        chosen = {name: measure[name] for name in names}
        measures = build_measures(chosen)
        objective, data = run.objective, _data(run)
        check_measures(measures, data)
        device = torch.device("cpu" if run.record.get("device") == "cpu" or not torch.cuda.is_available() else "cuda")
        with computing(run.record.get("threads")):
            record = added(run.record, at_end(measures, objective, data, device))
        config = dict(record["config"])
        config["measure"] = {**(config.get("measure") or {}), **_plain(chosen)}
        with stops_if_unwritable(folder):
            write_record(folder, {**record, "config": config})
        return read_record(folder) or {}
    finally:
        lock.release()


def done_before(record: Record, cfg: DictConfig, folder: Path) -> tuple[Record, str]:
    """The record of a run that is not trained again, with the measures of `cfg` that it had not; and what to say."""
    if not (names := missing(record, cfg.measure)):
        return record, "was done before"
    allow = [node["_target_"] for _, node in targets(OmegaConf.to_container(cfg))]  # it is the run that was asked for
    return add_measures(folder, cfg.measure, allow), f"was done before; measured now: {', '.join(names)}"


def _same(one: object, other: Mapping[str, Any]) -> bool:
    """But for when: what was measured in each validation has been so in the chosen epoch."""
    return isinstance(one, Mapping) and _settings(one) == _settings(other)


def _settings(node: Mapping[str, Any]) -> Any:
    return canonical({key: value for key, value in node.items() if key != "at"})


def _plain(nodes: Mapping[str, DictConfig]) -> dict[str, Any]:
    found: dict[str, Any] = {name: OmegaConf.to_container(node, resolve=True) for name, node in nodes.items()}
    return {name: {**settings, "at": "end"} for name, settings in found.items()}


def _data(run: TrainedRun) -> DataModule:
    """The run's data, of which validation and test are the same whatever the order of training was."""
    node: Any = OmegaConf.to_container(run.data_node(), resolve=True)
    with run.in_one_sentence(), offline():
        return _loaded(OmegaConf.to_yaml(OmegaConf.create({**node, "seed": 0})))


@lru_cache(maxsize=1)
def _loaded(node: str) -> DataModule:
    data = make(OmegaConf.create(node), "data")
    data.setup()
    return data
