"""The network of a run, from the config and the data: its layers, what inputs go through first, and its objective."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..core.errors import UserError
from ..core.overrides import Override
from ..core.seeds import derive
from ..core.tasks import Classification, Regression
from ..data import DataModule, Dataset
from ..models import Rescale, Standardize
from ..regularizers import LayerPenalty, PenalizedLayer, Penalty, WeightLayerPenalty
from ..training.callbacks import NetworkCallback
from ..training.objective import Objective
from .make import class_of, make, try_to
from .regularizers import Regularizers
from .sites import Site
from .trials import try_network


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
            first: dict[str, nn.Module] = {
                "standardize": Standardize(*(moment.reshape(axes) for moment in data.statistics()))
            }
        else:
            first = {"input": copy.deepcopy(data.input_module)} if data.input_module else {}
        return cls(first, data.example, *(data.target_statistics() if data.task == "regression" else ()))

    @classmethod
    def unfilled(cls, shape: Sequence[int], inputs: str, data: Callable[[], Dataset]) -> "Ends":
        """Those of samples of such a shape, whose numbers a checkpoint is to fill in.

        Args:
            inputs: as of `DataModule.inputs`.
            data: loads what has an input module of its own.

        Raises:
            ValueError: it has none any more.
        """
        if inputs == "standardize":
            axes = (shape[0], *(1 for _ in shape[1:]))
            return cls({"standardize": Standardize(torch.zeros(axes), torch.ones(axes))}, torch.zeros(2, *shape))
        if inputs == "none":
            return cls({}, torch.zeros(2, *shape, dtype=torch.int64))
        loaded = data()
        if loaded.input_module is None:
            raise ValueError(f"the data have no input module, and the network begins with a {inputs}")
        return cls({"input": loaded.input_module}, loaded.tried_on())


def build_objective(
    cfg: DictConfig, ends: Ends, regularizers: Regularizers, overrides: Sequence[Override]
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


def build_network(cfg: DictConfig, ends: Ends, regularizers: Regularizers, overrides: Sequence[Override]) -> nn.Module:
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
        for name, callback in regularizers.callbacks.items():
            if isinstance(callback, NetworkCallback):
                network = try_to(f"regularizer.{name}", callback.wrap, network)
                if not isinstance(network, nn.Sequential):
                    raise UserError(
                        f"regularizer.{name} wraps the network in a {type(network).__name__}; give a Sequential"
                    )
        # within the stream of the initialization, as lazy layers are initialized by it
        try_network(network, cfg, ends.example)
    return network


def _model_arguments(cfg: DictConfig, layers: Mapping[str, Site], overrides: Sequence[Override]) -> dict[str, Any]:
    """What the config gives to the model's class, which must offer a site for each of `layers`."""
    target = cfg.model._target_
    model = class_of(target, "model")
    parameters = try_to("model", inspect.signature, model).parameters
    arguments: Any = OmegaConf.to_container(cfg.model, resolve=True, throw_on_missing=True)
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
    named = {override.key for override in overrides}
    if "model._target_" in named:  # the other keys belong to the model that this one replaces
        arguments = {k: v for k, v in arguments.items() if k in parameters or f"model.{k}" in named}
    return arguments
