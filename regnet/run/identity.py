"""What makes a run this run: the values that its result depends on, wherever it lies and however they were written.

Standard library only until a config is there: the report compares runs by these values too.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..core.overrides import canonical
from .record import DamagedRecord, read_record

if TYPE_CHECKING:
    from omegaconf import DictConfig

PLACES = ("study", "folder")  # keys that say where a run lies
WATCHING = (
    "logger",
    "measure",
    "report",
    "steps_per_execution",
)  # keys that change no result: a run with another logger is the same run
OF_DATA = ("root", "epochs")  # keys of data that change none: where they are kept; a default of the trainer's
OF_PLACES = ("${hydra:", "${now:")  # references whose value depends on the place or the time


def identity(cfg: "DictConfig") -> str:
    """A fingerprint of `essence`, its references resolved; entries of regularizers that it does not use are dropped."""
    from omegaconf import open_dict

    with open_dict(cfg):
        for name in not_chosen(cfg.get("regularizer") or {}):
            del cfg.regularizer[name]
    return sha256(json.dumps(essence(_placeless(cfg))).encode("utf-8", "backslashreplace")).hexdigest()


def essence(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a resolved config that a run's result depends on, as `canonical`.

    Without the run's place, its loggers, what is measured at its end, and the settings of regularizers that it does not
    choose. Those that it chooses keep their order, in which they act. A run to begin with is known by its own
    fingerprint.
    """
    own = {key: value for key, value in config.items() if key not in (*PLACES, *WATCHING)}
    found = canonical(own)
    if isinstance(place := config.get("folder"), str) and place:
        found = _with_texts(lambda text: text.replace(place, ""), found)
    if isinstance(data := found.get("data"), dict):
        for node in (data, data.get("source")):
            if isinstance(node, dict):
                for key in OF_DATA:
                    node.pop(key, None)
    if isinstance(nodes := own.get("regularizer"), Mapping):
        found["regularizer"] = {name: found["regularizer"][str(name)] for name in chosen(nodes)}
    if watched := in_validation(config.get("measure")):
        found["measure"] = canonical(watched)
    if isinstance(start := own.get("warm_start"), str):
        found["warm_start"] = of_folder(start)
    return found


def of_folder(folder: str) -> str:
    """The fingerprint of the run that lies there; without a run the folder's own name."""
    try:
        record = read_record(folder) or {}
    except (DamagedRecord, ValueError):  # a text with a null byte is no folder
        record = {}
    return record.get("fingerprint") or folder


def chosen(regularizer: Mapping[str, Any]) -> list[str]:
    """The regularizers that this run uses. Other entries are only settings, for runs that do: they name no class."""
    return [name for name, node in regularizer.items() if isinstance(node, Mapping) and "_target_" in node]


def in_validation(measure: object) -> dict[str, Any]:
    """The measures of each validation, by which a run may choose its epoch."""
    nodes = measure if isinstance(measure, Mapping) else {}
    return {name: node for name, node in nodes.items() if isinstance(node, Mapping) and node.get("at") == "epoch"}


def not_chosen(regularizer: Mapping[str, Any]) -> list[str]:
    return [name for name in regularizer if name not in chosen(regularizer)]


def _placeless(cfg: "DictConfig") -> dict[str, Any]:
    """The config as plain data in which no value tells where and when the run takes place."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    unresolved: Any = OmegaConf.to_container(cfg, resolve=False, enum_to_str=True)
    placeless = unresolved | dict.fromkeys(PLACES, "")
    try:
        if (masked := _with_texts(_masked, placeless)) == placeless:  # as it is, in half the time
            resolved: Any = _resolved_without(
                cfg, {place: unresolved[place] for place in PLACES if place in unresolved}
            )
        else:
            resolved = OmegaConf.to_container(OmegaConf.create(masked), resolve=True)
    except OmegaConfBaseException:  # the run will tell what cannot be resolved
        return unresolved
    return dict.fromkeys(PLACES, "") | resolved


def _resolved_without(cfg: "DictConfig", values: Mapping[str, Any]) -> Any:
    """The resolved config, as if these of its values were empty texts."""
    from omegaconf import OmegaConf, open_dict, read_write

    with read_write(cfg), open_dict(cfg):
        cfg.update(dict.fromkeys(values, ""))
        try:
            return OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
        finally:
            cfg.update(values)


def _masked(text: str) -> str:
    return text.replace("${", "$ {") if any(reference in text for reference in OF_PLACES) else text  # no reference now


def _with_texts(change: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_with_texts(change, item) for item in value]
    if isinstance(value, Mapping):
        return {key: _with_texts(change, item) for key, item in value.items()}
    return value
