"""From a composed config to the objects of a run: with `train` and `evaluate`, all that knows configs."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor, nn

from .callbacks import AtomicCheckpointIO
from .checks import check_objective, check_settings, try_network
from .cli import not_chosen
from .data import DataModule
from .errors import UserError
from .make import given, make
from .models import Rescale, Standardize
from .module import RegularizedModule
from .objective import Objective
from .regularizers import BatchTransform, Penalty, Update
from .seeds import derive
from .tasks import Classification, Regression


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


def build(
    cfg: DictConfig, overrides: Sequence[str] = (), load: Callable[[DictConfig], DataModule] | None = None
) -> Setup:
    """Data, network, regularizers and objective as `cfg` says; fills the sizes found in the data into `cfg`.

    `load` gives the data of a config, where runs share them; by default they are read.

    Raises:
        UserError: a value out of range, or parts that do not fit together.
    """
    check_settings(cfg)
    data = (load or load_data)(cfg)
    describe_data(cfg, data)
    regularizers = build_regularizers(cfg, overrides)
    objective = build_objective(cfg, Statistics.of(data), regularizers, overrides)
    check_objective(cfg, objective, regularizers.updates)
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
        key = given(overrides, "optimizer", "scheduler") or "optimizer or scheduler"
        raise UserError(f"{key}: {type(error).__name__}: {error}") from error
    return Setup(data, module, regularizers.callbacks)


def build_data(cfg: DictConfig) -> DataModule:
    """The data module, set up; what was found in the data goes into ``cfg.data`` for others to refer to."""
    data = load_data(cfg)
    describe_data(cfg, data)
    return data


def load_data(cfg: DictConfig) -> DataModule:
    data = make(cfg.data, "data")
    data.setup()
    return data


def describe_data(cfg: DictConfig, data: DataModule) -> None:
    with open_dict(cfg):
        cfg.data.shape = list(data.shape)
        cfg.data.num_outputs, cfg.data.num_classes = data.num_outputs, data.num_classes
        cfg.data.classes = None if data.classes is None else [str(name) for name in data.classes]
        if data.schema:
            cfg.data.schema = data.schema


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
            {"_target_": cfg.model._target_, **arguments},
            given(overrides, "model") or "model",
            **sites,
        )
        parts = {"standardize": Standardize(statistics.mean, statistics.std), "model": model}
        if cfg.data.num_classes is None:
            parts["rescale"] = Rescale(statistics.target_mean, statistics.target_std)
        network = nn.Sequential(OrderedDict(parts))
        try_network(network, cfg)  # within the stream of the initialization, as lazy layers are initialized by it
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


def _model_arguments(cfg: DictConfig, layers: Mapping[str, nn.Module], overrides: Sequence[str]) -> dict[str, Any]:
    """What the config gives to the model's class, which must offer a site for each of `layers`."""
    target = cfg.model._target_
    try:
        parameters = inspect.signature(resolve_name(target)).parameters
    except Exception as error:
        raise UserError(f"model._target_={target} cannot be imported: {error}") from error
    arguments = OmegaConf.to_container(cfg.model, resolve=True)
    del arguments["_target_"]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return arguments
    for name in layers:
        if name not in parameters:
            sites = [key for key, parameter in parameters.items() if parameter.default is nn.Identity]
            offer = f"whose sites are {', '.join(sites)}" if sites else "which has none"
            raise UserError(f"regularizer={name} needs a site `{name}` in model={target}, {offer}")
    if any(override.startswith("model._target_=") for override in overrides):
        # the other keys are those of the model that this class takes the place of
        named = {override.partition("=")[0].lstrip("+") for override in overrides}
        arguments = {k: v for k, v in arguments.items() if k in parameters or f"model.{k}" in named}
    return arguments
