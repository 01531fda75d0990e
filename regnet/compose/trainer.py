"""Lightning's Trainer with its callbacks and loggers, from the config."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from ..core.errors import UserError
from ..run.checkpoints import readable
from ..run.events import put_behind
from ..run.resuming import is_rank_zero
from ..training.callbacks import AtomicCheckpointIO, NetworkCallback, StepLimit
from ..training.loop import EpochLoop
from .checks import check_timers
from .make import make, make_a

STORE_IDS = {"WandbLogger": "id", "MLFlowLogger": "run_id"}  # arguments that name a run which is there already


def build_loggers(cfg: DictConfig, resumed: Mapping[str, Any] | None = None) -> dict[str, Logger]:
    """The configured loggers by name.

    Args:
        resumed: the checkpoint from which the run goes on. What TensorBoard was told beyond it is void, and W&B and
            MLflow go on in the same run of theirs.
    """
    return {name: _logger(name, node, resumed) for name, node in cfg.logger.items() if node}


def _logger(name: str, node: DictConfig, resumed: Mapping[str, Any] | None) -> Logger:
    kind = node._target_.rpartition(".")[2]
    made = partial(make_a, Logger, node, f"logger.{name}")  # type: ignore[type-abstract]  # the node names a class
    if resumed and kind == "TensorBoardLogger":
        logger = made(purge_step=resumed["global_step"] + 1)
        if is_rank_zero():
            put_behind(Path(logger.log_dir))  # type: ignore[arg-type]  # None is of loggers that write no files
        return logger
    store_id = resumed.get("loggers", {}).get(name) if resumed and kind in STORE_IDS else None
    if store_id is not None:
        logger = made(**{STORE_IDS[kind]: store_id})
        with suppress(Exception):  # the store is another one, or its run was deleted
            _ = logger.experiment  # type: ignore[attr-defined]  # which those of `STORE_IDS` have
            return logger
    return made()


def build_trainer(
    cfg: DictConfig, callbacks: Mapping[str, Callback], folder: str, loggers: Collection[Logger] = ()
) -> Trainer:
    """Lightning's Trainer with loggers, and the callbacks of config and regularizers."""
    configured = {name: make_a(Callback, node, f"callbacks.{name}") for name, node in cfg.callbacks.items() if node}
    check_timers(configured)
    for name, callback in configured.items():
        if isinstance(callback, NetworkCallback) and type(callback).wrap is not NetworkCallback.wrap:
            raise UserError(f"callbacks.{name} comes too late to change the network: choose it as +regularizer.{name}")
        readable(callback.state_dict(), f"callbacks.{name}")
    limits = list(_limits(cfg.trainer))
    trainer = make_a(
        Trainer,
        cfg.trainer,
        "trainer",
        callbacks=[*limits, *callbacks.values(), *configured.values()],
        logger=list(loggers) or False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        max_epochs=cfg.trainer.max_epochs if cfg.trainer.max_epochs is not None or not limits else -1,
        max_steps=-1,
    )
    EpochLoop.install(trainer, cfg.get("steps_per_execution"))
    if cfg.trainer.get("overfit_batches"):  # Lightning would overfit validation as well
        trainer.limit_val_batches = cfg.trainer.get("limit_val_batches") or 1.0
    return trainer


def _limits(trainer: DictConfig) -> Iterator[Callback]:
    """Of steps and of time, both in place of Lightning's."""
    if trainer.get("max_steps", -1) != -1:
        yield StepLimit(trainer.max_steps)
    if trainer.get("max_time") is not None:
        yield make(
            {"_target_": "regnet.training.callbacks.TimeLimit", "duration": trainer.max_time}, "trainer.max_time"
        )


def processes(trainer: DictConfig) -> int:
    """That the Trainer will have, each of which sees its share of the batches."""
    devices = trainer.get("devices", 1)
    if devices in ("auto", -1, "-1"):
        on_gpu = trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
        devices = max(1, torch.cuda.device_count()) if on_gpu else 1
    names = len(devices) if OmegaConf.is_list(devices) else str(devices).count(",") + 1
    count = int(devices) if str(devices).isdigit() else names
    return max(1, count * (trainer.get("num_nodes") or 1))
