"""From a composed config to objects; what does not fit together is said here, before training starts."""

import copy
import inspect
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor, nn

from .callbacks import AtomicCheckpointIO
from .cli import not_chosen
from .data import DataModule
from .errors import UserError
from .models import Rescale, Standardize
from .module import RegularizedModule
from .objective import Objective
from .regularizers import BatchTransform, Penalty, Update
from .seeds import derive
from .tasks import Classification, Regression
from .weights import weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Regularizers:
    """The chosen regularizers by kind, under the names they have in the config."""

    penalties: dict[str, Penalty]
    updates: dict[str, Update]
    transforms: dict[str, BatchTransform]
    callbacks: dict[str, Callback]
    layers: dict[str, nn.Module]  # to be copied to the network's sites of the same name


@dataclass(frozen=True)
class Statistics:
    """Of the training data: what the network standardizes its inputs by, and regression its outputs."""

    mean: Tensor  # (C, 1, 1) of images, (F,) of tables
    std: Tensor
    target_mean: float = 0.0
    target_std: float = 1.0

    @classmethod
    def of(cls, data: DataModule) -> "Statistics":
        axes = (-1, *(1 for _ in data.shape[1:]))
        mean, std = (moment.reshape(axes) for moment in data.statistics())
        return cls(mean, std, *(data.target_statistics() if data.task == "regression" else ()))


@dataclass(frozen=True)
class Setup:
    """What one run is made of."""

    data: DataModule
    module: RegularizedModule
    callbacks: dict[str, Callback]


def build(cfg: DictConfig, overrides: Sequence[str] = ()) -> Setup:
    """Data, network, regularizers and objective as `cfg` says; fills the sizes found in the data into `cfg`.

    Raises:
        UserError: a value out of range, or parts that do not fit together.
    """
    _check(cfg)
    data = build_data(cfg)
    regularizers = build_regularizers(cfg, overrides)
    objective = build_objective(cfg, Statistics.of(data), regularizers, overrides)
    _check_fit(cfg, objective, regularizers)
    module = RegularizedModule(
        objective,
        make(cfg.optimizer, "optimizer"),
        make(cfg.scheduler, "scheduler") if cfg.scheduler else None,
        updates=list(regularizers.updates.values()),
        transforms=list(regularizers.transforms.values()),
        seed=cfg.seed,
    )
    try:
        module.configure_optimizers()
    except Exception as error:
        given = _given(overrides, "optimizer", "scheduler") or "optimizer or scheduler"
        raise UserError(f"{given}: {type(error).__name__}: {error}") from error
    return Setup(data, module, regularizers.callbacks)


def build_data(cfg: DictConfig) -> DataModule:
    """The data module, set up; what was found in the data goes into ``cfg.data`` for others to refer to."""
    data = make(cfg.data, "data")
    data.setup()
    with open_dict(cfg):
        cfg.data.shape, cfg.data.num_outputs, cfg.data.num_classes = (
            list(data.shape),
            data.num_outputs,
            data.num_classes,
        )
        cfg.data.classes = None if data.classes is None else [str(name) for name in data.classes]
        if data.schema:
            cfg.data.schema = data.schema
    return data


def build_regularizers(cfg: DictConfig, overrides: Sequence[str] = ()) -> Regularizers:
    """The chosen regularizers.

    An entry without a `_target_` is a setting for a regularizer that is not chosen, as an experiment file
    or ``++regularizer.l2.strength=...`` may give it for the runs of a study that do choose it.
    """
    for name, node in cfg.regularizer.items():
        if not isinstance(node, DictConfig | None):
            raise UserError(f"regularizer.{name}={node} is no regularizer: choose one, such as regularizer=l2")
    idle = not_chosen(cfg.regularizer)
    chosen = {name: node for name, node in cfg.regularizer.items() if name not in idle}
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if not override.startswith("++") and key.startswith("regularizer.") and key.split(".")[1] not in chosen:
            name = key.split(".")[1]
            raise UserError(
                f"{override}: {name} is not among the chosen regularizers [{','.join(chosen)}]; choose it, "
                f"or in a study write ++{override.lstrip('+')} to mean the runs that do"
            )
    made = {name: make(node, f"regularizer.{name}") for name, node in chosen.items()}
    kinds = (Penalty, Update, BatchTransform, Callback, nn.Module)  # a layer is any module of no other kind
    sorted_out: list[dict[str, Any]] = [{} for _ in kinds]
    for name, regularizer in made.items():
        kind = next((i for i, kind in enumerate(kinds) if isinstance(regularizer, kind)), None)
        if kind is None:
            raise UserError(f"regularizer.{name}: {type(regularizer).__name__} is no regularizer of any kind")
        sorted_out[kind][name] = regularizer
    return Regularizers(*sorted_out)


def build_objective(
    cfg: DictConfig, statistics: Statistics, regularizers: Regularizers, overrides: Sequence[str] = ()
) -> Objective:
    """Network, task and penalties for data of the sizes in ``cfg.data``."""
    network = build_network(cfg, statistics, regularizers.layers, overrides)
    task = Regression(statistics.target_std) if cfg.data.num_classes is None else Classification()
    return Objective(network, task, regularizers.penalties)


def build_network(
    cfg: DictConfig, statistics: Statistics, layers: Mapping[str, nn.Module], overrides: Sequence[str] = ()
) -> nn.Module:
    """Standardized inputs; the model, with `layers` at its sites of the same name; outputs in the target's unit."""
    arguments = _model_arguments(cfg, layers, overrides)
    sites = {name: partial(copy.deepcopy, layer) for name, layer in layers.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(cfg.seed, "init"))
        model = make(
            OmegaConf.create({"_target_": cfg.model._target_, **arguments}),
            _given(overrides, "model") or "model",
            **sites,
        )
        parts = {"standardize": Standardize(statistics.mean, statistics.std), "model": model}
        if cfg.data.num_classes is None:
            parts["rescale"] = Rescale(statistics.target_mean, statistics.target_std)
        network = nn.Sequential(OrderedDict(parts))
        _try(network, cfg)  # within the stream of the initialization, as lazy layers are initialized by it
    return network


def build_trainer(
    cfg: DictConfig, callbacks: Mapping[str, Callback], folder: str, resumed_step: int | None = None
) -> Trainer:
    """Lightning's Trainer with the configured loggers, and the callbacks of config and regularizers.

    TensorBoard is told to forget what a run that goes on at `resumed_step` had logged beyond it.
    """
    purge = {} if resumed_step is None else {"purge_step": resumed_step + 1}
    loggers = [
        make(node, f"logger.{name}", **(purge if node._target_.endswith("TensorBoardLogger") else {}))
        for name, node in cfg.logger.items()
        if node
    ]
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


def _model_arguments(cfg: DictConfig, layers: Mapping[str, nn.Module], overrides: Sequence[str]) -> dict[str, Any]:
    """What the config gives to the model's class, which must offer a site for each of `layers`."""
    target = cfg.model._target_
    try:
        parameters = inspect.signature(resolve_name(target)).parameters
    except Exception as error:
        raise UserError(f"model._target_={target} cannot be imported: {error}") from error
    arguments = {key: value for key, value in cfg.model.items() if key != "_target_"}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return arguments
    for name in layers:
        if name not in parameters:
            sites = [key for key, parameter in parameters.items() if parameter.default is nn.Identity]
            offer = f"whose sites are {', '.join(sites)}" if sites else "which has none"
            raise UserError(f"regularizer={name} needs a site `{name}` in model={target}, {offer}")
    if any(override.startswith("model._target_=") for override in overrides):
        # the other keys are those of the model that this class takes the place of
        given = {override.partition("=")[0].lstrip("+") for override in overrides}
        arguments = {k: v for k, v in arguments.items() if k in parameters or f"model.{k}" in given}
    return arguments


def _check(cfg: DictConfig) -> None:
    if not isinstance(cfg.seed, int) or cfg.seed < 0:
        raise UserError(f"seed={cfg.seed} must be a whole number >= 0")
    if cfg.mode not in ("min", "max"):
        raise UserError(f"mode={cfg.mode} must be min or max")
    if not cfg.callbacks.best and not cfg.callbacks.last:
        raise UserError("callbacks.best=null and callbacks.last=null leave no checkpoint to test; keep one of them")
    precision = str(cfg.trainer.precision)
    if precision == "16-mixed" and cfg.optimizer.get("fused"):
        raise UserError(
            "trainer.precision=16-mixed needs optimizer.fused=false: a fused optimizer skips steps unseen, which "
            "gradient clipping and the regularizers around a step must see"
        )
    if any(value is None for value in cfg.scheduler.values()):
        key = next(key for key, value in cfg.scheduler.items() if value is None)
        raise UserError(f"scheduler.{key} has no value (trainer.max_epochs={cfg.trainer.max_epochs}); give one")
    epochs = cfg.trainer.max_epochs
    if epochs is not None and (not isinstance(epochs, int) or (epochs < 1 and epochs != -1)):
        raise UserError(f"trainer.max_epochs={epochs} must be a whole number >= 1, or null with max_steps")


def _check_fit(cfg: DictConfig, objective: Objective, regularizers: Regularizers) -> None:
    """What can only be checked once the parts are there."""
    if cfg.data.num_classes is None and str(cfg.trainer.precision) in ("bf16-true", "16-true"):
        raise UserError(f"trainer.precision={cfg.trainer.precision} rounds the targets of a regression; use bf16-mixed")
    both = {"l2", "elastic_net", "weight_decay"} & {*regularizers.penalties, *regularizers.updates}
    if both and cfg.optimizer.get("weight_decay"):
        log.warning(
            "optimizer.weight_decay=%s and %s both shrink the weights", cfg.optimizer.weight_decay, " and ".join(both)
        )
    known = [f"val/{name}" for name in objective.loss.names]
    if cfg.monitor not in known:
        raise UserError(f"monitor={cfg.monitor} must be one of {', '.join(known)}")
    for name, regularizer in {**regularizers.penalties, **regularizers.updates}.items():
        try:
            found = weights(objective.network, getattr(regularizer, "select", None))
        except ValueError as error:
            raise UserError(f"regularizer.{name}: {error}") from error
        if not found:
            raise UserError(f"regularizer.{name} has nothing to act on: model={cfg.model._target_} has no weights")


def _try(network: nn.Module, cfg: DictConfig) -> None:
    """One forward pass of two empty samples: the model takes such inputs and gives such outputs."""
    x = torch.zeros(2, *cfg.data.shape)
    try:
        with torch.no_grad():
            outputs = network.eval()(x)
    except Exception as error:
        raise UserError(
            f"model={cfg.model._target_} fails on inputs of shape {tuple(x.shape)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        network.train()
    if tuple(outputs.shape) != (2, cfg.data.num_outputs):
        raise UserError(
            f"model={cfg.model._target_} gives outputs of shape {tuple(outputs.shape)} for 2 samples, "
            f"and must give (2, {cfg.data.num_outputs})"
        )


def _given(overrides: Sequence[str], *keys: str) -> str:
    """The overrides of `keys` and below, as a person typed them."""
    return " ".join(text for text in overrides if text.lstrip("+").replace("=", ".").partition(".")[0] in keys)


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
