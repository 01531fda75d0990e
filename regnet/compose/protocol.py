"""What a run watches and how long it lasts: what contradicts itself there is told before training."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf, open_dict

from ..core.errors import UserError, shown
from ..core.metrics import AUTO, SCALES, SIGNS, Scale, direction, judged_by
from .arguments import takes

if TYPE_CHECKING:  # sweepers do without torch
    from ..regularizers import Update

OURS = ("regnet.", "lightning.", "pytorch_lightning.")  # packages whose callbacks mean a metric by `monitor`
HALF = ("bf16-true", "16-true")
PLATEAU = "torch.optim.lr_scheduler.ReduceLROnPlateau"


def settle_modes(cfg: DictConfig, known: Mapping[str, Scale] = SCALES) -> None:
    """Fills in every `mode` that is not given: which way is better belongs to the metric that is watched.

    That of the run, and those of the callbacks and schedules that watch a metric, each of its own monitor. What is
    `AUTO` stays open until `settle_monitors`.

    Args:
        known: the metrics of validation of which it is known which way is better.

    Raises:
        UserError: a `mode` that contradicts its monitor, a monitor that nothing is known of, or none where one is
            needed.
    """
    with open_dict(cfg):
        _settle(cfg, "", cfg.monitor, known)
        for key, node in _watching(cfg):
            if "mode" in node or takes(node, "mode"):
                _settle(node, f"{key}.", node.monitor, known, cfg.mode if node.monitor == cfg.monitor else None)
        if cfg.scheduler.get("_target_") == PLATEAU:
            _needed("scheduler=plateau", cfg.monitor)
            _settle(cfg.scheduler, "scheduler.", cfg.monitor, known, cfg.mode)
        if "early_stopping" in cfg.regularizer and "_target_" in cfg.regularizer.early_stopping:
            _needed("regularizer=early_stopping", cfg.regularizer.early_stopping.monitor)


def settle_monitors(cfg: DictConfig, metrics: Collection[str], known: Mapping[str, Scale] = SCALES) -> None:
    """Fills in every `monitor` that is `AUTO`: the metric by which the task is judged; and then its `mode`.

    Args:
        metrics: those of the task.
        known: as of `settle_modes`.

    Raises:
        UserError: as `settle_modes`.
    """
    with open_dict(cfg):
        for node in (cfg, *(node for _, node in _watching(cfg))):
            if node.monitor == AUTO:
                node.monitor = f"val/{judged_by(metrics)}"
    settle_modes(cfg, known)


def check_precision(cfg: DictConfig, updates: Mapping[str, "Update"]) -> None:
    """Raises UserError where the weights' precision would round a regularizer's small steps to nothing."""
    for name, update in updates.items():
        if update.fine and str(cfg.trainer.precision) in HALF:
            raise UserError(
                f"regularizer.{name} moves weights by less than trainer.precision={cfg.trainer.precision} can hold; "
                "use bf16-mixed, which keeps them in float32"
            )


def check_monitors(cfg: DictConfig, metrics: Collection[str]) -> None:
    """Raises UserError where something watches what nothing measures.

    Args:
        metrics: those that are measured in each validation. Whether a callback of one's own logs another is seen in
            the first one.
    """
    known = [f"val/{name}" for name in metrics]
    callbacks = [str(node.get("_target_")) for node in cfg.callbacks.values() if node]
    logged = any(not target.startswith(OURS) for target in callbacks)
    for key, monitor in [("", cfg.monitor), *((f"{key}.", node.monitor) for key, node in _watching(cfg))]:
        of_others = isinstance(monitor, str) and monitor not in {f"val/{name}" for name in SCALES}
        if monitor is not None and monitor not in known and not (of_others and logged):
            raise UserError(f"{key}monitor={shown(monitor)} must be one of {', '.join(known)}")


def _watching(cfg: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    """The callbacks that watch a metric, those among the regularizers too, with their keys."""
    for group in ("callbacks", "regularizer"):
        for name, node in cfg[group].items():
            if OmegaConf.is_dict(node) and str(node.get("_target_")).startswith(OURS) and node.get("monitor"):
                yield f"{group}.{name}", node


def _needed(part: str, monitor: str | None) -> None:
    if monitor is None:
        raise UserError(f"{part} has to watch a metric: give a monitor, such as val/loss, in place of monitor=null")


def _settle(
    node: DictConfig, key: str, monitor: str | None, known: Mapping[str, Scale], otherwise: str | None = None
) -> None:
    mode = node.get("mode")
    if mode is not None and mode not in SIGNS:
        raise UserError(f"{key}mode={mode} must be min or max")
    if monitor is None:
        if mode is not None:
            raise UserError(f"{key}mode={mode} has no monitor whose mode it is; leave it out, or give one")
        return
    if monitor == AUTO:
        return
    try:
        better = direction(monitor, otherwise if mode is None else mode, known)
    except ValueError as error:
        raise UserError(f"{key}{error}") from error
    if mode not in (None, better):
        words = {"min": "less", "max": "more"}
        raise UserError(
            f"{key}mode={mode} contradicts monitor={monitor}, of which {words[better]} is better; leave mode out"
        )
    node.mode = better


def check_length(cfg: DictConfig, train_batches: int, val_batches: int) -> None:
    """Raises UserError where training would have no end, no batch, or nothing by which an epoch could be chosen.

    Args:
        train_batches: of an epoch, as the data have them.
        val_batches: of a validation.
    """
    trainer = cfg.trainer
    if trainer.get("fast_dev_run"):  # fast_dev_run sets all of these itself
        return
    _check_end(cfg)
    limited = {
        "limit_train_batches": (train_batches, "leaves no batch to train on"),
        "overfit_batches": (train_batches, "leaves no batch to train on"),
        "limit_val_batches": (val_batches, "leaves no validation, by which an epoch is chosen"),
    }
    for name, (batches, lack) in limited.items():
        limit = trainer.get(name)
        if limit is None or (name == "overfit_batches" and limit == 0):
            continue
        if _counted(limit, batches) < 1:
            raise UserError(f"trainer.{name}={limit} {lack}; give a number >= 1, or a share of {batches} that is one")
    overfit = trainer.get("overfit_batches") or trainer.get("limit_train_batches")
    _check_validations(trainer, train_batches if overfit is None else _counted(overfit, train_batches))


def settle_steps(cfg: DictConfig, batches: int) -> None:
    """Fills in `steps`, of the optimizer in the whole training; None where only the clock or a metric ends it.

    Args:
        batches: of an epoch in each process, as the data have them.

    Raises:
        UserError: another number was given.
    """
    trainer = cfg.trainer
    limit = trainer.get("overfit_batches") or trainer.get("limit_train_batches")
    batches = batches if limit is None else _counted(limit, batches)
    an_epoch = -(-batches // (trainer.get("accumulate_grad_batches") or 1))
    ends = [] if trainer.max_epochs in (None, -1) else [trainer.max_epochs * an_epoch]
    ends += [steps] if (steps := trainer.get("max_steps", -1)) != -1 else []
    found = min(ends, default=None)
    if cfg.get("steps") not in (None, found):
        raise UserError(
            f"steps={shown(cfg.steps)} is filled in, and is {shown(found)} in this training; a sooner end is "
            "+trainer.max_steps"
        )
    with open_dict(cfg):
        cfg.steps = found


def _check_end(cfg: DictConfig) -> None:
    epochs, steps = cfg.trainer.max_epochs, cfg.trainer.get("max_steps", -1)
    if type(steps) is not int or (steps < 1 and steps != -1):
        raise UserError(f"trainer.max_steps={shown(steps)} must be a whole number >= 1, or -1 for no limit")
    ends = steps != -1 or cfg.trainer.get("max_time") is not None
    if (epochs is None and not ends) or (epochs == -1 and not ends and "early_stopping" not in cfg.regularizer):
        raise UserError(
            f"trainer.max_epochs={shown(epochs)} leaves training without an end: give a number of epochs, "
            "+trainer.max_steps or +trainer.max_time"
        )


def _check_validations(trainer: DictConfig, batches: int) -> None:
    every, interval = trainer.get("check_val_every_n_epoch", 1), trainer.get("val_check_interval", 1.0)
    interval = 1.0 if interval is None else interval
    if not isinstance(interval, int | float) or isinstance(interval, bool):
        raise UserError(
            f"trainer.val_check_interval={shown(interval)} must be a share of an epoch or a number of batches: "
            "by the clock no run could be repeated"
        )
    if not (0 < interval <= 1 or (interval >= 1 and interval == int(interval))):
        raise UserError(f"trainer.val_check_interval={interval} must be in (0, 1], or a number of batches >= 1")
    if every is None and isinstance(interval, float) and interval <= 1:
        raise UserError(
            f"trainer.check_val_every_n_epoch=null counts batches, and trainer.val_check_interval={interval} is a "
            "share of an epoch; give a whole number"
        )
    if every is not None and interval > batches:
        raise UserError(
            f"trainer.val_check_interval={interval} is more than the {batches} batches of an epoch; "
            "trainer.check_val_every_n_epoch=null counts on over epochs"
        )


def _counted(limit: float, batches: int) -> int:
    """How many of the batches Lightning takes, to which 1 is one and 1.0 all of them."""
    if isinstance(limit, int) or limit > 1:
        return min(int(limit), batches)
    return int(limit * batches)
