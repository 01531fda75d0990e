"""Which runs may share a pack, as far as configs tell: those that differ in numbers.

Whether these numbers are kept for each network apart is known when the runs are built, see `alike`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..compose.config_files import config_folder
from ..run.identity import chosen, in_validation
from .job import Job

Config = dict[str, Any]

OWN = {  # what each run of a pack has for itself
    "": ("seed", "study", "folder", "warm_start", "monitor", "mode", "scheduler", "logger", "measure", "report"),
    "model": ("init",),
    "data": ("seed", "split_seed", "label_noise", "train_size", "augment"),
}
SCHEDULE = "schedule"  # of a regularizer, which each run follows by itself
NUMBER = object()
CALLBACKS = "regnet.training.callbacks."
EARLY_STOPPING = f"{CALLBACKS}EarlyStopping"
STACKED = (EARLY_STOPPING, *(f"{CALLBACKS}{name}" for name in ("Ema", "Swa", "Snapshots")))
OPTIMIZERS = {
    *(f"torch.optim.{name}" for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam")),
    *("regnet.optimizers.LARS", "regnet.optimizers.LAMB"),
}
OPTIMIZER_KEYS = {
    *("_target_", "_partial_", "lr", "betas", "eps", "weight_decay", "momentum", "dampening", "nesterov", "fused"),
    *("foreach", "alpha", "centered", "lr_decay", "initial_accumulator_value", "momentum_decay"),
    *("decoupled_weight_decay", "trust_coefficient"),
}
PRECISIONS = ("32-true", "64-true", "bf16-mixed")
FREE = {
    *("max_epochs", "accelerator", "precision", "log_every_n_steps", "deterministic", "enable_progress_bar"),
    *("gradient_clip_val", "accumulate_grad_batches"),
}


@dataclass(frozen=True)
class Plan:
    packs: list[list[Job]]
    alone: list[tuple[Job, str]]  # and why

    @property
    def sentence(self) -> str:
        """How many packs, how many alone, and why, in one line."""
        runs = sum(len(pack) for pack in self.packs)
        sizes = sorted({len(pack) for pack in self.packs})
        told = f"packed: {runs} runs in {len(self.packs)} pack{'s' * (len(self.packs) != 1)}"
        if len(self.packs) > 1:
            told += f" of {sizes[0]}" + (f" to {sizes[-1]}" if len(sizes) > 1 else "")
        if not self.alone:
            return told
        why = Counter(reason for _, reason in self.alone)
        return f"{told}; {len(self.alone)} alone: " + ", ".join(f"{n} for {reason}" for reason, n in why.items())


def plan(jobs: Sequence[Job]) -> Plan:
    """Packs in the order in which their first jobs come."""
    groups: dict[str, list[Job]] = {}
    alone = []
    for job in jobs:
        try:
            if (reason := obstacle(job.unresolved) or _endless(job)) is None:
                groups.setdefault(signature(job), []).append(job)
        except (LookupError, TypeError, AttributeError):  # the run itself will tell
            reason = "a config that has not the form of a run"
        if reason is not None:
            alone.append((job, reason))
    packs = []
    for group in groups.values():
        if len({job.folder for job in group}) > 1:
            packs.append(group)
        else:
            alone += [(job, "nothing to share a pack with") for job in group]
    return Plan(packs, sorted(alone, key=lambda one: one[0].number))


def signature(job: Job) -> str:
    """What runs of one pack have in common, as text."""
    cfg = job.unresolved
    common = dict(cfg, momentum=bool(cfg["optimizer"].get("momentum")))
    for part, keys in OWN.items():
        if part:
            common[part] = {key: value for key, value in cfg[part].items() if key not in keys}
        else:
            common = {key: value for key, value in common.items() if key not in keys}
    # two runs may write the same `${...}` and mean different numbers
    common |= {part: _resolved(job.config[part], common[part]) for part in ("trainer", "data")}
    common["regularizer"] = {name: _structure(cfg["regularizer"][name]) for name in chosen(job.config.regularizer)}
    common["optimizer"] = _without_numbers(cfg["optimizer"])
    return json.dumps(common, sort_keys=True, default=str)


def _resolved(node: DictConfig, common: Config) -> Config:
    def value(key: str) -> Any:
        found = node[key]
        return OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found

    try:
        return {key: value(key) for key in common}
    except OmegaConfBaseException:  # it will be told when the run is built
        return common


def _structure(node: Any) -> Any:
    """A regularizer's settings without its numbers."""
    if not isinstance(node, dict):  # augment, which refers to the data's
        return node
    own = set(node) - {"_target_"} if node["_target_"] == EARLY_STOPPING else {SCHEDULE}
    return _without_numbers({key: value for key, value in node.items() if key not in own})


def _without_numbers(value: Any) -> Any:
    """Settings without numbers, and without references, which may mean one."""
    if isinstance(value, dict):
        left = {key: _without_numbers(item) for key, item in value.items()}
        return {key: item for key, item in left.items() if item is not NUMBER}
    if isinstance(value, list):
        items = [_without_numbers(item) for item in value]
        return NUMBER if items and all(item is NUMBER for item in items) else items
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return NUMBER if number or (isinstance(value, str) and "${" in value) else value


def obstacle(cfg: Config) -> str | None:
    """Why a run cannot be packed, as far as its config tells; None if it can."""
    for key, value in cfg["trainer"].items():
        if key in FREE:
            if key == "precision" and str(value) not in PRECISIONS:
                return f"trainer.precision={value}"
        elif key == "devices" and _is_one(value):
            continue
        elif key not in _default("trainer/default") or value != _default("trainer/default")[key]:
            return f"trainer.{key}={value}"
    if missing := sorted(_default("trainer/default").keys() - cfg["trainer"].keys()):
        return f"no trainer.{missing[0]}"
    optimizer = cfg["optimizer"]
    if optimizer.get("_target_") not in OPTIMIZERS:
        return f"optimizer._target_={optimizer.get('_target_')}"
    for key, value in optimizer.items():
        if key not in OPTIMIZER_KEYS or (key == "dampening" and value):
            return f"optimizer.{key}={value}"
    for name, node in cfg["callbacks"].items():
        usual = dict(_default("callbacks/default").get(name) or {})
        if node is not None and {**node, "every_seconds": 0} != {**usual, "every_seconds": 0}:
            return f"callbacks.{name}"
    for name, node in cfg["regularizer"].items():
        target = node.get("_target_") or "" if isinstance(node, dict) else ""
        if target.startswith((CALLBACKS, "lightning.")) and target not in STACKED:
            return f"regularizer.{name} (it acts through a callback)"
    for name in in_validation(cfg.get("measure")):
        return f"measure.{name}.at=epoch (it measures one network at a time)"
    if cfg["data"].get("num_workers"):
        return f"data.num_workers={cfg['data']['num_workers']}"
    return None


def _is_one(devices: Any) -> bool:
    """Whether they are a single GPU by its number, such as [1]."""
    return isinstance(devices, list) and len(devices) == 1 and type(devices[0]) is int


def _endless(job: Job) -> str | None:
    epochs = job.config.trainer.max_epochs
    return None if isinstance(epochs, int) and epochs >= 1 else f"trainer.max_epochs={epochs}"


@cache
def _default(name: str) -> Config:
    config: Any = OmegaConf.to_container(OmegaConf.load(config_folder() / f"{name}.yaml"), resolve=False)
    return config
