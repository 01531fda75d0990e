"""Whether a config has the form of a run: what it tells by itself, before any data are read."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from ..core import values
from ..core.errors import UserError, near, shown
from ..core.overrides import Override
from ..run.study import study_name
from .config_files import config_folder, read_config
from .make import suit, try_to

Check = Callable[[Any, str], object]

LIMITS: Mapping[str, Mapping[str, Check]] = {  # of settings that nothing else checks in time
    "trainer": {
        "accumulate_grad_batches": values.whole,
        "check_val_every_n_epoch": values.whole,
        "gradient_clip_val": values.nonnegative,
        "log_every_n_steps": partial(values.whole, least=0),
        "min_epochs": partial(values.whole, least=0),
        "min_steps": partial(values.whole, least=0),
        "num_nodes": values.whole,
        "num_sanity_val_steps": partial(values.whole, least=-1),
        "reload_dataloaders_every_n_epochs": partial(values.whole, least=0),
    },
    "scheduler": {
        "T_max": values.whole,
        "eta_min": values.nonnegative,
        "gamma": values.positive,
        "max_lr": values.positive,
        "step_size": values.whole,
    },
}
ONE_OF = ("data", "model", "optimizer", "scheduler", "trainer")  # groups of which a run has one option
EXTRAS = {"WandbLogger": "wandb", "MLFlowLogger": "mlflow"}  # packages of loggers, and regnet's extras of that name
OWN = {  # arguments of the Trainer that other settings give
    "callbacks": "the group callbacks, such as +callbacks.mine._target_=my.Callback",
    "default_root_dir": "hydra.run.dir, of a study hydra.sweep.dir",
    "logger": "the group logger, such as logger=none",
    "plugins": "regnet itself",
}
REGNETS = {  # keys that are not to be changed, and what is instead
    r"folder": "the folder of a run is hydra.run.dir, and of a study's runs hydra.sweep.dir",
    r"callbacks\.best\.\w+": "regnet tests what callbacks.best keeps, so it stays as it is; the key monitor chooses "
    "the epoch, and a ModelCheckpoint of your own is +callbacks.mine",
    r"callbacks\.(last|metrics_csv)\.path": "regnet looks for its files in the folder of the run, hydra.run.dir",
}


def check_form(cfg: DictConfig, overrides: Sequence[Override] = ()) -> None:
    """Every part is there and names a class; nothing is there that nothing uses.

    Raises:
        UserError: a part that is missing or of another form, a key that nothing reads.
    """
    for override in overrides:
        _check_used(cfg, override)
        _check_choice(override)
    parts = _parts() - {"experiment"}
    for part in sorted(parts):
        if part not in cfg:
            raise UserError(f"{part} is missing: a run needs it")
    for name in map(str, cfg):
        if name not in parts and not _is_referred_to(cfg, name):
            hint = "; begin its file with the line `# @package _global_`" if name == "experiment" else near(name, parts)
            raise UserError(f"{name}={shown(cfg[name])}: nothing reads or refers to {name}{hint}")
    study_name(cfg.get("study", "study"))
    for part in ("data", "model", "optimizer", "trainer"):
        check_class(cfg.get(part), part)
    for part in ("source", "augment"):
        if part in cfg.data and (part == "source" or cfg.data[part] is not None):
            check_class(OmegaConf.select(cfg.data, part), f"data.{part}")
    for part in ("callbacks", "logger", "measure", "regularizer", "scheduler"):
        if not isinstance(cfg.get(part), DictConfig):
            raise UserError(f"{part}={shown(cfg.get(part))} chooses nothing; {part}={_options(part)[0]} is the least")
    for name, node in cfg.regularizer.items():
        if not isinstance(node, DictConfig | None):
            raise UserError(f"regularizer.{name}={shown(node)} is no regularizer: choose one, such as regularizer=l2")
    if cfg.scheduler:
        check_class(cfg.scheduler, "scheduler")
    for group in ("callbacks", "logger"):
        for name, node in cfg[group].items():
            if node is not None:
                check_class(node, f"{group}.{name}", " or be null")
    for name, setting in OWN.items():
        if name in cfg.trainer:
            raise UserError(f"trainer.{name} is given by {setting}")


def check_kinds(cfg: DictConfig) -> None:
    """Every part is given what its class takes.

    Raises:
        UserError: a setting of the wrong kind or out of range.
    """
    for name, node in cfg.logger.items():
        _check_installed(node, f"logger.{name}")
    for group in ("callbacks", "logger"):
        for name, node in cfg[group].items():
            with suppress(InterpolationResolutionError):  # without Hydra a run has no folder yet
                suit(node, f"{group}.{name}")
    for part in ("trainer", "optimizer"):
        check_settings_of(part, cfg[part])


def _check_installed(node: Any, key: str) -> None:
    package = EXTRAS.get(str(node["_target_"]).rpartition(".")[2]) if node else None
    found = find_spec(package) if package else None
    if package and (found is None or found.origin is None):  # or a folder of that name
        raise UserError(f"{key} needs {package}, which is not installed: pip install 'regnet[{package}]'")


def check_settings_of(part: str, settings: Any) -> None:
    """Raises UserError for a setting of the wrong kind or out of range."""
    suit(settings, part)
    for name, check in LIMITS.get(part, {}).items():
        if settings.get(name) is not None:
            try_to(part, check, settings[name], name)


def check_class(node: Any, key: str, otherwise: str = "") -> None:
    """Raises UserError where the node of a part names no class."""
    if node is None and (options := _options(key)):
        raise UserError(f"{key} is missing: choose one of {', '.join(f'{key}={name}' for name in options)}")
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise UserError(f"{key}={shown(node)} must name a class by its _target_{otherwise}")


def _check_choice(override: Override) -> None:
    if override.key in ONE_OF and len(override.options) > 1:
        raise UserError(f"{override.text}: a run has one of them; choose one, or train each in a study with -m")
    for pattern, reason in REGNETS.items():
        if re.fullmatch(pattern, override.key):
            raise UserError(f"{override.text}: {reason}")


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def _check_used(cfg: DictConfig, override: Override) -> None:
    """A key that was added at the top is there for others to refer to, or a slip of the pen."""
    name = (override.package or override.key).split(".")[0]
    if not override.sign.startswith("+") or name in _parts() or name not in cfg:
        return
    if not _is_referred_to(cfg, name):
        raise UserError(f"{override.text}: nothing reads or refers to {name}{near(name, _parts())}")


def _is_referred_to(cfg: DictConfig, name: str) -> bool:
    text = json.dumps(OmegaConf.to_container(cfg, resolve=False), default=str)
    return re.search(rf"\$\{{[^}}]*\b{re.escape(name)}\b", text) is not None


@cache
def _parts() -> frozenset[str]:
    """The keys at the top of conf/train.yaml."""
    written = read_config(config_folder() / "train.yaml")
    groups = (key for entry in written["defaults"] if isinstance(entry, dict) for key in entry if " " not in key)
    return frozenset({*written, *groups} - {"defaults", "hydra"})
