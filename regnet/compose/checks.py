"""What a person got wrong is found here, before training starts."""

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, Timer
from omegaconf import DictConfig, OmegaConf
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from ..core.errors import UserError, near, shown
from ..core.overrides import Override
from ..core.values import LONGEST
from ..core.weights import scaled, weights
from ..regularizers import Update
from ..run.checkpoints import readable
from ..training.callbacks import TimeLimit
from ..training.objective import Objective
from .config_files import OF_REGULARIZERS, config_folder, config_folders, read_config
from .make import class_of, try_to
from .protocol import HALF
from .structure import check_settings_of

log = logging.getLogger(__name__)

CONTRADICTIONS = (  # regularizers of which only one may be chosen, and why
    ({"mixup", "cutmix", "mixup_cutmix"}, "each mixes the batch"),
    ({"ema", "swa", "snapshots"}, "each puts weights of its own into validation and test"),
)
PROXIMAL = ("proximal_l1", "proximal_l0", "proximal_group_lasso")
SAME_WEIGHT = (  # the same, if they act on the same weight
    ({"unit_norm", "max_norm", "min_max_norm"}, "each sets the norms of the units, and undoes the other's"),
    *(
        ({"orthogonal_projection", other}, "an orthogonal matrix has its norms fixed, and neither signs nor zeros")
        for other in ("unit_norm", "max_norm", "min_max_norm", "non_negative", "spectral_clip", *PROXIMAL)
    ),
    ({"proximal_l1", "proximal_l0"}, "one after the other solves neither problem"),
)


def check_choice(overrides: Sequence[Override], chosen: Collection[str]) -> None:
    """What Hydra would do without a word: merge two variants of one thing, or lose one that an override replaced.

    Raises:
        UserError: two options fill the same key, or an option's key is not among those that are `chosen`.
    """
    for override in overrides:
        group, *rest = override.parts
        if (group, len(rest), override.sign) == ("regularizer", 1, "") and rest[0] not in chosen and _keys(rest[0]):
            raise UserError(f"{override.text} takes the place of all settings of {rest[0]}; give those that you mean")
    choice = next((one for one in reversed(overrides) if one.key == "regularizer"), None)
    if choice is None:
        return
    owners: dict[str, str] = {}
    for option in choice.options:
        for key in _keys(option):
            if (other := owners.setdefault(key, option)) is not option:
                raise UserError(f"{choice.text}: {other} and {option} both fill regularizer.{key}; choose one of them")
            if key not in chosen:
                raise UserError(
                    f"{choice.text}: an override below regularizer.{key} has replaced it; give it below data.{key}"
                )


def check_meant(overrides: Sequence[Override], chosen: Collection[str]) -> None:
    """Settings of regularizers that are not chosen: with ++ they mean other runs of a study, without it is a mistake.

    Raises:
        UserError: no regularizer is chosen, or none exists, that has the setting.
    """
    for override in overrides:
        group, *rest = override.parts
        if group != "regularizer" or not rest or override.sign == "~" or (name := rest[0]) in chosen:
            continue
        if override.sign != "++":
            raise UserError(
                f"{override.text}: {name} is not among the chosen regularizers [{','.join(chosen)}]; choose it, "
                f"or in a study write ++{override.text.lstrip('+')} to mean the runs that do"
            )
        known = _settings(*config_folders())
        if name not in known:
            raise UserError(f"{override.text}: {name} is no regularizer that a run could choose{near(name, known)}")
        setting = rest[1] if len(rest) > 1 else ""
        if known[name] and setting not in known[name]:
            told = ", ".join(sorted(known[name]))
            raise UserError(
                f"{override.text}: {name} has no key {setting}{near(setting, known[name])} (its keys are {told})"
            )


def check_pairs(names: Sequence[str]) -> None:
    """Regularizers that contradict each other. Raises UserError."""
    for rivals, why in CONTRADICTIONS:
        if len(both := [name for name in names if name in rivals]) > 1:
            raise UserError(f"regularizer={','.join(both)} contradict each other: {why}; choose one of them")


@cache
def _keys(option: str) -> list[str]:
    path = config_folder() / "regularizer" / f"{option}.yaml"
    return list(OmegaConf.load(path)) if path.exists() else []


@cache
def _settings(*folders: Path) -> dict[str, set[str]]:
    """The settings of every regularizer that can be chosen, by its key; none of those that are kept elsewhere."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in sorted((folder / "regularizer").glob("*.yaml")):
            for name, node in read_config(path).items():
                keys = {*node, *OF_REGULARIZERS} - {"_target_"} if isinstance(node, dict) else set()
                found[name] = found.get(name, set()) | keys
    return found


def check_settings(cfg: DictConfig) -> None:
    """What the config alone tells. Raises UserError."""
    if type(cfg.seed) is not int or not 0 <= cfg.seed <= LONGEST:
        raise UserError(f"seed={shown(cfg.seed)} must be a whole number >= 0, and below 2**63")
    if not isinstance(cfg.warm_start, str | None) or cfg.warm_start == "":
        raise UserError(f"warm_start={shown(cfg.warm_start)} must be the folder of a run, or null")
    if not cfg.callbacks.get("last") and (cfg.monitor is None or not cfg.callbacks.get("best")):
        why = "monitor=null" if cfg.monitor is None else "callbacks.best=null"
        raise UserError(f"{why} and callbacks.last=null leave no checkpoint to test; keep one of them")
    precision = str(cfg.trainer.precision)
    if precision == "16-mixed" and cfg.optimizer.get("fused"):
        raise UserError(
            "trainer.precision=16-mixed needs optimizer.fused=false: a fused optimizer skips steps unseen, which "
            "gradient clipping and the regularizers around a step must see"
        )
    epochs = cfg.trainer.max_epochs
    for name, node in cfg.regularizer.items():
        if node and node.get("schedule") and epochs in (None, -1) and cfg.trainer.get("max_steps", -1) == -1:
            raise UserError(
                f"regularizer.{name}.schedule={node.schedule} needs the end of training: set trainer.max_epochs"
            )
    if epochs is not None and (not isinstance(epochs, int) or (epochs < 1 and epochs != -1)):
        raise UserError(f"trainer.max_epochs={shown(epochs)} must be a whole number >= 1, or null with max_steps")


def learning_rate_schedule(cfg: DictConfig) -> tuple[dict[str, Any], str]:
    """The settings of the scheduler's class, and its interval: ``epoch`` or ``step``. Raises UserError."""
    settings: Any = OmegaConf.to_container(cfg.scheduler, resolve=True)
    interval = settings.pop("interval", "epoch")
    if interval not in ("epoch", "step"):
        raise UserError(f"scheduler.interval={shown(interval)} must be epoch or step")
    if not settings:
        return {}, interval
    epochs = cfg.trainer.max_epochs
    for key, value in settings.items():
        if value is None:
            raise UserError(f"scheduler.{key} has no value (trainer.max_epochs={epochs}); give one")
    check_settings_of("scheduler", settings)
    kind = class_of(settings["_target_"], "scheduler")
    if interval == "step" and isinstance(kind, type) and issubclass(kind, ReduceLROnPlateau):
        raise UserError(f"scheduler.interval=step: {kind.__name__} looks at validation; leave it at epoch")
    steps = cfg.steps if interval == "step" else epochs
    if isinstance(kind, type) and issubclass(kind, OneCycleLR) and 0 < settings.get("total_steps", 0) < (steps or 0):
        raise UserError(
            f"scheduler.total_steps={settings['total_steps']} ends before training, which has {steps} {interval}s"
        )
    unresolved: Any = OmegaConf.to_container(cfg.scheduler, resolve=False)
    for key, written in unresolved.items():
        if interval == "epoch" and written == "${steps}" and cfg.steps != epochs:
            raise UserError(
                f"scheduler.{key}={cfg.steps} are steps of the optimizer, and scheduler.interval=epoch makes {epochs}; "
                "write scheduler.interval=step"
            )
        if interval == "step" and written == "${trainer.max_epochs}" and cfg.steps != epochs:
            raise UserError(
                f"scheduler.{key}={epochs} are epochs, and scheduler.interval=step makes {cfg.steps} steps; "
                f"write 'scheduler.{key}=${{steps}}'"
            )
    return settings, interval


def check_objective(cfg: DictConfig, objective: Objective, updates: Mapping[str, Update], x: torch.Tensor) -> None:
    """What can only be told once the parts are there, for inputs such as x. Raises UserError."""
    for name, penalty in objective.penalties.items():
        if penalty.of_inputs and not x.is_floating_point():
            raise UserError(f"regularizer.{name} differentiates by the inputs, and these are whole numbers ({x.dtype})")
    if cfg.data.num_classes is None and str(cfg.trainer.precision) in HALF:
        raise UserError(f"trainer.precision={cfg.trainer.precision} rounds the targets of a regression; use bf16-mixed")
    decays = {"l2", "elastic_net", "weight_decay"} & {*objective.penalties, *updates}
    if decays and cfg.optimizer.get("weight_decay"):
        log.warning(
            "optimizer.weight_decay=%s and %s both shrink the weights", cfg.optimizer.weight_decay, " and ".join(decays)
        )
    acting: dict[str, list[str]] = {}  # by weight
    for name, regularizer in {**objective.penalties, **updates}.items():
        if not regularizer.on_weights:
            continue
        found = try_to(f"regularizer.{name}", weights, objective.network, regularizer.select, frozen=True)
        try_to(f"regularizer.{name}", scaled, found, regularizer.scale)
        if not found:
            raise UserError(f"regularizer.{name} has nothing to act on: model={cfg.model._target_} has no weights")
        if not (trained := [weight for weight in found if weight.trained]):
            frozen = ", ".join(weight.name for weight in found)
            raise UserError(f"regularizer.{name} has nothing to act on: {frozen} are frozen (requires_grad=False)")
        for weight in trained:
            acting.setdefault(weight.name, []).append(name)
    for name, update in updates.items():
        try_to(f"regularizer.{name}", update.check, objective.network)
    for key, names in acting.items():
        for rivals, why in SAME_WEIGHT:
            if len(both := [name for name in names if name in rivals]) > 1:
                raise UserError(
                    f"regularizer={','.join(both)} contradict each other on {key}: {why}; choose one of them, or "
                    "give them different weights by select"
                )


def check_optimizer(cfg: DictConfig, objective: Objective, made: Any) -> None:
    """What the config's optimizer and scheduler made for this objective can train it, and go on from a checkpoint.

    Args:
        made: the optimizer, or a dict of it and its scheduler, as Lightning takes them.

    Raises:
        UserError: it is of another class, does not take the weights, or keeps what no checkpoint can hold.
    """
    parts = made if isinstance(made, dict) else {"optimizer": made}
    if not isinstance(optimizer := parts["optimizer"], Optimizer):
        raise UserError(
            f"optimizer._target_={cfg.optimizer._target_} makes a {type(optimizer).__name__}, and must make a "
            "torch.optim.Optimizer"
        )
    if any(group.get("fused") and any(map(torch.is_complex, group["params"])) for group in optimizer.param_groups):
        raise UserError("optimizer.fused=true takes no complex weights, and the model has some; optimizer.fused=false")
    readable(objective.network.state_dict(), "model")
    readable(optimizer.state_dict(), "optimizer")
    schedule = parts.get("lr_scheduler")
    if schedule is not None:
        schedule = schedule["scheduler"] if isinstance(schedule, dict) else schedule
        if not isinstance(schedule, LRScheduler):
            raise UserError(
                f"scheduler._target_={cfg.scheduler._target_} makes a {type(schedule).__name__}, and must make a "
                "torch.optim.lr_scheduler.LRScheduler"
            )
        readable(schedule.state_dict(), "scheduler")


def check_timers(callbacks: Mapping[str, Callback]) -> None:
    """Raises UserError for Lightning's own timer, which ends training where no run can go on bitwise."""
    for name, callback in callbacks.items():
        if isinstance(callback, Timer) and not isinstance(callback, TimeLimit):
            raise UserError(
                f"callbacks.{name} is Lightning's {type(callback).__name__}, which ends a run within an epoch and "
                "counts it as completed; write +trainer.max_time=00:01:00:00, which ends it with the epoch"
            )
