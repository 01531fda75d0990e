"""From a composed config to objects; what does not fit together is said here, before training starts."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import nn

from .callbacks import AtomicCheckpointIO
from .data import DataModule
from .errors import UserError
from .models import Rescale, Standardize
from .module import RegularizedModule
from .objective import Objective
from .regularizers import BatchTransform, Penalty, Update
from .seeds import derive
from .tasks import Classification, Regression
from .weights import weights


@dataclass(frozen=True)
class Setup:
    """Everything one run is made of."""

    data: DataModule
    module: RegularizedModule
    callbacks: dict[str, Callback]


def build(cfg: DictConfig, overrides: Sequence[str] = ()) -> Setup:
    """Data, network, regularizers and objective as `cfg` says; fills the sizes found in the data into `cfg`.

    Raises:
        UserError: a value out of range, or parts that do not fit together.
    """
    data = build_data(cfg)
    regularizers = build_regularizers(cfg, overrides)

    def of_kind(kind: type) -> dict[str, Any]:
        return {name: item for name, item in regularizers.items() if isinstance(item, kind)}

    penalties, updates, transforms = of_kind(Penalty), of_kind(Update), of_kind(BatchTransform)
    callbacks = of_kind(Callback)
    rest = {k: v for k, v in regularizers.items() if k not in {*penalties, *updates, *transforms, *callbacks}}
    for name, item in rest.items():
        if not isinstance(item, nn.Module):
            raise UserError(
                f"regularizer.{name}: {type(item).__name__} is no penalty, update, layer, batch transform or callback"
            )
    network = build_network(cfg, data, layers=rest, overrides=overrides)
    task = Classification() if data.task == "classification" else Regression(data.target_statistics()[1])
    objective = Objective(network, task, penalties)
    _try(objective, updates, data, cfg)
    module = RegularizedModule(
        objective,
        make(cfg.optimizer, "optimizer"),
        make(cfg.scheduler, "scheduler") if cfg.scheduler else None,
        updates=list(updates.values()),
        transforms=list(transforms.values()),
        seed=cfg.seed,
    )
    return Setup(data, module, callbacks)


def build_data(cfg: DictConfig) -> DataModule:
    """The data module, set up; its sizes go into ``cfg.data`` for others to refer to."""
    data = make(cfg.data, "data")
    data.setup()
    with open_dict(cfg):
        cfg.data.shape, cfg.data.num_classes, cfg.data.num_outputs = (
            list(data.shape),
            data.num_classes,
            data.num_outputs,
        )
    return data


def build_regularizers(cfg: DictConfig, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The chosen regularizers by name.

    An entry without a `_target_` is a setting for a regularizer that is not chosen, as an experiment file
    or ``++regularizer.l2.strength=...`` may give it for the runs of a study that do choose it.
    """
    chosen = {name: node for name, node in cfg.regularizer.items() if node is not None and "_target_" in node}
    for override in overrides:
        key = override.partition("=")[0]
        if key.startswith("regularizer.") and key.split(".")[1] not in chosen:
            name = key.split(".")[1]
            raise UserError(
                f"{override}: {name} is not among the chosen regularizers [{','.join(chosen)}]; choose it, "
                f"or in a study write ++{override} to mean the runs that do"
            )
    return {name: make(node, f"regularizer.{name}") for name, node in chosen.items()}


def build_network(
    cfg: DictConfig, data: DataModule, layers: Mapping[str, nn.Module], overrides: Sequence[str] = ()
) -> nn.Module:
    """Standardized inputs, the model with `layers` at its sites of the same name, outputs in the target's unit."""
    target = get_target(cfg.model)
    parameters = inspect.signature(target).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    arguments = {key: value for key, value in cfg.model.items() if key != "_target_"}
    if any(override.startswith("model._target_=") for override in overrides) and not open_ended:
        # the other keys are those of the model that this target replaces
        given = {override.partition("=")[0].lstrip("+") for override in overrides}
        arguments = {k: v for k, v in arguments.items() if k in parameters or f"model.{k}" in given}
    for name in layers:
        if name not in parameters and not open_ended:
            sites = [key for key, parameter in parameters.items() if parameter.default is nn.Identity]
            offer = f"its sites are {', '.join(sites)}" if sites else "it has none"
            raise UserError(
                f"regularizer={name} needs a network with a site `{name}`; {cfg.model._target_}: {offer}"
            )
    sites = {name: partial(copy.deepcopy, layer) for name, layer in layers.items()}
    with torch.random.fork_rng():
        torch.manual_seed(derive(cfg.seed, "init"))
        model = make(OmegaConf.create({"_target_": cfg.model._target_, **arguments}), "model", **sites)
    mean, std = data.statistics()
    missing = bool(data.features) and any(name.endswith("=missing") for name in data.features)
    parts = {"standardize": Standardize(mean, std, missing), "model": model}
    if data.task == "regression":
        parts["rescale"] = Rescale(*data.target_statistics())
    return nn.Sequential(OrderedDict(parts))


def build_trainer(cfg: DictConfig, callbacks: Mapping[str, Callback], folder: str) -> Trainer:
    """Lightning's Trainer with the configured loggers and callbacks; checkpoints come last, as it wants them."""
    loggers = [make(node, f"logger.{name}") for name, node in cfg.logger.items() if node]
    configured = [make(node, f"callbacks.{name}") for name, node in cfg.callbacks.items() if node]
    return make(
        cfg.trainer,
        "trainer",
        callbacks=[*callbacks.values(), *configured],
        logger=loggers or False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
    )


def make(node: Any, key: str, **extra: Any) -> Any:
    """Instantiates a config node. Raises UserError in one sentence that names `key` if that fails."""
    try:
        return instantiate(node, _convert_="all", **extra)
    except InstantiationException as error:
        raise UserError(f"{_failed_key(error, key)}: {_reason(error)}") from error


def get_target(node: DictConfig) -> Any:
    try:
        return get_object(node._target_)
    except Exception as error:
        raise UserError(
            f"model._target_={node._target_} cannot be imported: {error}".partition("\n")[0]
        ) from error


def _try(objective: Objective, updates: Mapping[str, Update], data: DataModule, cfg: DictConfig) -> None:
    """One forward pass on two samples, and one look at what each selector matches."""
    x, y = next(iter(data.val_dataloader()[0]))
    x, y = x[:2], y[:2]
    try:
        with torch.no_grad(), torch.random.fork_rng():
            logits = objective.eval().network(x)
    except Exception as error:
        raise UserError(
            f"model={cfg.model._target_} fails on a batch of shape {tuple(x.shape)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        objective.train()
    if tuple(logits.shape) != (len(x), data.num_outputs):
        raise UserError(
            f"model={cfg.model._target_} gives outputs of shape {tuple(logits.shape)} for {len(x)} samples; "
            f"this data needs ({len(x)}, {data.num_outputs})"
        )
    for name, regularizer in {**objective.penalties, **updates}.items():
        if getattr(regularizer, "select", None) is not None:
            try:
                weights(objective.network, regularizer.select)
            except ValueError as error:
                raise UserError(f"regularizer.{name}: {error}") from error


def _failed_key(error: InstantiationException, key: str) -> str:
    _, found, full_key = str(error).rpartition("full_key: ")
    return full_key if found and full_key.startswith(key) else key


def _reason(error: InstantiationException) -> str:
    cause = error
    while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split("full_key:")[0].split())
    return (
        text
        if isinstance(cause, ValueError | UserError | InstantiationException)
        else f"{type(cause).__name__}: {text}"
    )
