"""From a composed config to the objects of a run: with `train` and `evaluate`, all that knows configs."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..core.errors import UserError, shown
from ..core.overrides import Override, read
from ..core.seeds import derive
from ..core.tasks import Classification, Regression
from ..data import DataModule, Dataset
from ..models import Rescale, Standardize
from ..regularizers import (
    BatchTransform,
    LayerPenalty,
    PenalizedLayer,
    Penalty,
    Update,
    WeightLayer,
    WeightLayerPenalty,
)
from ..regularizers.schedules import Factor, Schedules, parse, scheduled_buffer
from ..run.checkpoints import warm_start
from ..run.events import put_behind
from ..run.identity import not_chosen
from ..run.resuming import is_rank_zero
from ..training.callbacks import AtomicCheckpointIO, NetworkCallback, StepLimit
from ..training.module import RegularizedModule
from ..training.objective import Objective
from .arguments import suited
from .checks import (
    check_choice,
    check_meant,
    check_objective,
    check_pairs,
    check_settings,
    check_timers,
    learning_rate_schedule,
    try_network,
    try_transforms,
)
from .make import as_typed_of, class_of, literal, make, make_a, try_to
from .protocol import check_length, check_monitors, check_precision, settle_modes, settle_steps
from .sites import Site
from .structure import check_form, check_kinds

STORE_IDS = {"WandbLogger": "id", "MLFlowLogger": "run_id"}  # arguments that name a run which is there already


@dataclass(frozen=True)
class Regularizers:
    """The chosen regularizers by kind, under the names they have in the config."""

    penalties: dict[str, Penalty]
    updates: dict[str, Update]
    transforms: dict[str, BatchTransform]
    callbacks: dict[str, Callback]
    weight_layers: dict[str, WeightLayer]
    layers: dict[str, Site]  # for the network's sites of the same name
    schedules: dict[str, Factor]

    def on_weights(self) -> dict[str, nn.Module]:
        """Those that act on weights of their choice."""
        every = {**self.penalties, **self.updates}
        return {name: regularizer for name, regularizer in every.items() if regularizer.on_weights} | self.weight_layers


@dataclass(frozen=True)
class Ends:
    """What the data put before a model and behind it."""

    first: dict[str, nn.Module]  # what inputs go through, by its name in the network; empty is nothing
    example: Tensor  # (2, ...), inputs to try a network on
    target_mean: float = 0.0
    target_std: float = 1.0

    @classmethod
    def of(cls, data: DataModule) -> "Ends":
        if data.inputs == "standardize":
            axes = (-1, *(1 for _ in data.shape[1:]))  # (C, 1, 1) of images, (F,) of tables
            first = {"standardize": Standardize(*(moment.reshape(axes) for moment in data.statistics()))}
        else:
            first = {"input": copy.deepcopy(data.input_module)} if data.input_module else {}
        return cls(first, data.example, *(data.target_statistics() if data.task == "regression" else ()))

    @classmethod
    def unfilled(cls, shape: Sequence[int], inputs: str, data: Callable[[], Dataset]) -> "Ends":
        """Those of samples of such a shape, whose numbers a checkpoint is to fill in.

        Args:
            inputs: as of `DataModule.inputs`.
            data: loads what has an input module of its own.
        """
        if inputs == "standardize":
            axes = (shape[0], *(1 for _ in shape[1:]))
            return cls({"standardize": Standardize(torch.zeros(axes), torch.ones(axes))}, torch.zeros(2, *shape))
        if inputs == "none":
            return cls({}, torch.zeros(2, *shape, dtype=torch.int64))
        loaded = data()
        return cls({"input": loaded.input_module}, loaded.tried_on())


@dataclass(frozen=True)
class Setup:
    """What one run is made of."""

    data: DataModule
    module: RegularizedModule
    regularizers: Regularizers


def build(
    cfg: DictConfig, overrides: Sequence[str | Override] = (), load: Callable[[DictConfig], DataModule] | None = None
) -> Setup:
    """Data, network, regularizers and objective as `cfg` says; fills the sizes found in the data into `cfg`.

    `load` gives the data of a config, where runs share them; by default they are read.

    Raises:
        UserError: a value out of range, or parts that do not fit together.
    """
    overrides = read(overrides)
    check_form(cfg, overrides)
    settle_modes(cfg)
    check_settings(cfg)
    check_kinds(cfg)
    data = (load or load_data)(cfg)
    describe_data(cfg, data)
    check_length(cfg, len(data.train_dataloader()), min(map(len, data.val_dataloader())))
    settle_steps(cfg, data.batches(processes(cfg.trainer)))
    schedule, interval = learning_rate_schedule(cfg)
    regularizers = build_regularizers(cfg, overrides)
    objective = build_objective(cfg, Ends.of(data), regularizers, overrides)
    check_objective(cfg, objective, regularizers.updates, data.example)
    check_monitors(cfg, objective.loss.names)
    check_precision(cfg, regularizers.updates)
    if cfg.warm_start is not None:
        warm_start(objective.network, Path(cfg.warm_start))
    try_transforms(regularizers.transforms, cfg, objective, data.example)
    for name, regularizer in {**objective.penalties, **regularizers.updates}.items():
        try_to(f"regularizer.{name}", regularizer.begin, objective.network)
    module = RegularizedModule(
        objective,
        make(cfg.optimizer, "optimizer"),
        make(schedule, "scheduler") if schedule else None,
        interval=interval,
        updates=list(regularizers.updates.values()),
        transforms=list(regularizers.transforms.values()),
        schedules=build_schedules(objective.network, regularizers),
        seed=cfg.seed,
        monitor=cfg.monitor,
    )
    try_to(as_typed_of(overrides, "optimizer", "scheduler") or "optimizer or scheduler", module.configure_optimizers)
    return Setup(data, module, regularizers)


def processes(trainer: DictConfig) -> int:
    """That the Trainer will have, each of which sees its share of the batches."""
    devices = trainer.get("devices", 1)
    if devices in ("auto", -1, "-1"):
        on_gpu = trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
        devices = max(1, torch.cuda.device_count()) if on_gpu else 1
    names = len(devices) if OmegaConf.is_list(devices) else str(devices).count(",") + 1
    count = int(devices) if str(devices).isdigit() else names
    return max(1, count * (trainer.get("num_nodes") or 1))


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
    found = {
        "shape": list(data.shape),
        "inputs": data.inputs,
        "num_outputs": data.num_outputs,
        "num_classes": data.num_classes,
        "num_samples": len(data.train),
        "classes": None if data.classes is None else [str(name) for name in data.classes],
    }
    with open_dict(cfg):
        for name, value in found.items():
            if cfg.data.get(name) not in (None, value):
                raise UserError(f"data.{name}={cfg.data[name]} is {value} in the data, which fill it in; leave it out")
            cfg.data[name] = literal(value)
        if data.schema:
            cfg.data.schema = literal(data.schema)


def build_regularizers(cfg: DictConfig, overrides: Sequence[str | Override] = ()) -> Regularizers:
    """The chosen regularizers.

    An entry without a `_target_` is a setting for a regularizer that is not chosen, as an experiment file
    or ``++regularizer.l2.strength=...`` may give it for the runs of a study that do choose it.
    """
    idle = not_chosen(cfg.regularizer)
    chosen = {name: node for name, node in cfg.regularizer.items() if name not in idle}
    overrides = read(overrides)
    check_choice(overrides, chosen)
    check_meant(overrides, chosen)
    check_pairs(list(chosen))
    kinds = (Penalty, Update, BatchTransform, Callback, WeightLayer, nn.Module)  # a layer is any other module
    sorted_out: list[dict[str, Any]] = [{} for _ in kinds]
    schedules = {}
    for name, node in chosen.items():
        key, (settings, common) = f"regularizer.{name}", _common(node)
        for filled in ("num_classes", "num_samples"):
            if settings.get(filled, known := cfg.data.get(filled)) != known:
                raise UserError(f"{key}.{filled}={shown(settings[filled])} is {shown(known)} in the data; leave it out")
        regularizer = make(settings, key)
        kind = next((i for i, kind in enumerate(kinds) if isinstance(regularizer, kind)), None)
        if kind is None:
            raise UserError(f"{key}: {type(regularizer).__name__} is no regularizer of any kind")
        if (text := common.pop("schedule", None)) is not None:
            schedules[name] = _schedule(text, key, regularizer, cfg.trainer.max_epochs)
        if kind == len(kinds) - 1:
            regularizer = try_to(key, Site, regularizer, **suited(Site, common, key))
        elif any(common.values()):
            setting = next(setting for setting, value in common.items() if value)
            raise UserError(f"{key}.{setting} is for layers, and {type(regularizer).__name__} is none")
        sorted_out[kind][name] = regularizer
    return Regularizers(*sorted_out, schedules)


def _common(node: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a regularizer's class, and those that all have: ``schedule``; of layers where and how much."""
    settings = OmegaConf.to_container(node, resolve=True)
    common = {key: settings.pop(key) for key in ("schedule", "rule", "after") if key in settings}
    if isinstance(settings.get("rate"), list) and settings["rate"]:
        common["rates"] = settings["rate"]
        settings["rate"] = settings["rate"][0]
    return settings, {key: value for key, value in common.items() if value is not None}


def _schedule(text: str, key: str, regularizer: Any, epochs: int | None) -> Factor:
    factor = try_to(f"{key}.schedule", parse, text, epochs if epochs and epochs > 0 else None)
    if not isinstance(regularizer, nn.Module):
        raise UserError(f"{key}.schedule={text}: {type(regularizer).__name__} has no strength that could follow it")
    buffer = try_to(f"{key}.schedule", scheduled_buffer, regularizer)
    most = max(factor(i / 100) for i in range(101)) * regularizer.get_buffer(buffer).item()
    if buffer in ("rate", "smoothing") and most >= 1:
        raise UserError(f"{key}.schedule={text} takes the {buffer} to {most:g}, and it must stay below 1")
    return factor


def build_schedules(network: nn.Module, regularizers: Regularizers) -> Schedules:
    """What follows a schedule, as ``strength/l2`` or ``rate/dropout`` in the log."""
    scheduled = []
    for name, factor in regularizers.schedules.items():
        if name in regularizers.layers:
            modules = regularizers.layers[name].made
        elif name in regularizers.weight_layers:
            kind = type(regularizers.weight_layers[name])
            modules = [module for module in network.modules() if type(module) is kind]
        else:
            kinds = (regularizers.penalties, regularizers.updates, regularizers.transforms)
            modules = [next(kind[name] for kind in kinds if name in kind)]
        buffer = scheduled_buffer(modules[0])
        scheduled.append((f"{buffer}/{name}", modules, buffer, factor))
    return Schedules(scheduled)


def build_objective(
    cfg: DictConfig, ends: Ends, regularizers: Regularizers, overrides: Sequence[str | Override] = ()
) -> Objective:
    """Network, task and penalties for data of the sizes in ``cfg.data``."""
    network = build_network(cfg, ends, regularizers, overrides)
    task = Regression(ends.target_std) if cfg.data.num_classes is None else Classification()
    learned: dict[str, Penalty] = {}
    for name, site in regularizers.layers.items():
        if isinstance(site.layer, PenalizedLayer):
            learned[name] = LayerPenalty(type(site.layer))
    for name, layer in regularizers.weight_layers.items():
        penalty = WeightLayerPenalty(type(layer), layer.select)
        if penalty.is_asked(network):
            learned[name] = penalty
    return Objective(network, task, regularizers.penalties | learned)


def build_network(
    cfg: DictConfig, ends: Ends, regularizers: Regularizers, overrides: Sequence[str | Override] = ()
) -> nn.Module:
    """What inputs go through first, the model with layers at its sites, and outputs in the target's unit."""
    sites = {name: site for name, site in regularizers.layers.items() if site.after is None}
    arguments = _model_arguments(cfg, sites, overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(cfg.seed, "init"))
        model = make({"_target_": cfg.model._target_, **arguments}, "model", **sites)
        if not isinstance(model, nn.Module):
            raise UserError(
                f"model={cfg.model._target_} makes a {type(model).__name__}, and must make a torch.nn.Module"
            )
        parts = {**ends.first, "model": model}
        if cfg.data.num_classes is None:
            parts["rescale"] = Rescale(ends.target_mean, ends.target_std)
        network = nn.Sequential(OrderedDict(parts))
        for name, site in regularizers.layers.items():
            if site.after is not None:
                try_to(f"regularizer.{name}.after", site.insert, network, name)
            try_to(f"regularizer.{name}", site.finish)
        if any(map(is_lazy, network.parameters())):
            try_network(network, cfg, ends.example)  # lazy layers get their weights, for weight layers
        for name, layer in regularizers.weight_layers.items():
            try_to(f"regularizer.{name}", layer.put_on, network)
        for callback in regularizers.callbacks.values():
            if isinstance(callback, NetworkCallback):
                network = callback.wrap(network)
        # within the stream of the initialization, as lazy layers are initialized by it
        try_network(network, cfg, ends.example)
    return network


def build_loggers(cfg: DictConfig, resumed: Mapping[str, Any] | None = None) -> dict[str, Logger]:
    """The configured loggers by name.

    Args:
        resumed: the checkpoint from which the run goes on. What TensorBoard was told beyond it is void, and W&B and
            MLflow go on in the same run of theirs.
    """
    return {name: _logger(name, node, resumed) for name, node in cfg.logger.items() if node}


def _logger(name: str, node: DictConfig, resumed: Mapping[str, Any] | None) -> Logger:
    key, kind = f"logger.{name}", node._target_.rpartition(".")[2]
    if resumed and kind == "TensorBoardLogger":
        logger = make_a(Logger, node, key, purge_step=resumed["global_step"] + 1)
        if is_rank_zero():
            put_behind(Path(logger.log_dir))
        return logger
    store_id = resumed.get("loggers", {}).get(name) if resumed and kind in STORE_IDS else None
    if store_id is not None:
        logger = make_a(Logger, node, key, **{STORE_IDS[kind]: store_id})
        with suppress(Exception):  # the store is another one, or its run was deleted
            _ = logger.experiment
            return logger
    return make_a(Logger, node, key)


def build_trainer(
    cfg: DictConfig, callbacks: Mapping[str, Callback], folder: str, loggers: Collection[Logger] = ()
) -> Trainer:
    """Lightning's Trainer with loggers, and the callbacks of config and regularizers."""
    configured = {name: make_a(Callback, node, f"callbacks.{name}") for name, node in cfg.callbacks.items() if node}
    check_timers(configured)
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
    if trainer.overfit_batches:  # Lightning would overfit validation as well
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


def _model_arguments(
    cfg: DictConfig, layers: Mapping[str, Site], overrides: Sequence[str | Override]
) -> dict[str, Any]:
    """What the config gives to the model's class, which must offer a site for each of `layers`."""
    target = cfg.model._target_
    model = class_of(target, "model")
    parameters = try_to("model", inspect.signature, model).parameters
    arguments = OmegaConf.to_container(cfg.model, resolve=True, throw_on_missing=True)
    del arguments["_target_"]
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if takes_all and inspect.isclass(model):  # the class hands them to its base class
        return arguments
    for name in layers:
        if name not in parameters:
            sites = [
                key for key, p in parameters.items() if inspect.isclass(p.default) and issubclass(p.default, nn.Module)
            ]
            offer = f"whose sites are {', '.join(sites)}" if sites else "which has none"
            raise UserError(
                f"regularizer.{name} needs a site `{name}` in model={target}, {offer}; "
                f"regularizer.{name}.after=ReLU puts it behind modules instead"
            )
    named = {override.key for override in read(overrides)}
    if "model._target_" in named:  # the other keys belong to the model that this one replaces
        arguments = {k: v for k, v in arguments.items() if k in parameters or f"model.{k}" in named}
    return arguments
