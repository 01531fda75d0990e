"""The chosen regularizers, from the config: sorted by kind, with their sites and schedules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..core.errors import UserError, shown
from ..core.overrides import Override
from ..regularizers import BatchTransform, Penalty, Update, WeightLayer
from ..regularizers.schedules import Factor, Schedules, parse, scheduled_buffer
from ..run import identity
from .arguments import suited
from .checks import check_choice, check_meant, check_pairs
from .config_files import OF_REGULARIZERS
from .make import make, try_to
from .sites import Site

KINDS = {  # of regularizers, as in `Regularizers`
    "penalties": Penalty,
    "updates": Update,
    "transforms": BatchTransform,
    "callbacks": Callback,
    "weight_layers": WeightLayer,
    "layers": nn.Module,  # any other module
}


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

    def on_weights(self) -> dict[str, Penalty | Update | WeightLayer]:
        """Those that act on weights of their choice."""
        every: dict[str, Penalty | Update] = {**self.penalties, **self.updates}
        return {**{name: one for name, one in every.items() if one.on_weights}, **self.weight_layers}


def build_regularizers(cfg: DictConfig, overrides: Sequence[Override] = ()) -> Regularizers:
    """The chosen regularizers.

    An entry without a `_target_` is a setting for a regularizer that is not chosen, as an experiment file
    or ``++regularizer.l2.strength=...`` may give it for the runs of a study that do choose it.
    """
    chosen = {name: cfg.regularizer[name] for name in identity.chosen(cfg.regularizer)}
    check_choice(overrides, chosen)
    check_meant(overrides, chosen)
    check_pairs(list(chosen))
    sorted_out: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    schedules = {}
    for name, node in chosen.items():
        key, (settings, common) = f"regularizer.{name}", _common(node)
        for filled in ("num_classes", "num_samples"):
            if settings.get(filled, known := cfg.data.get(filled)) != known:
                raise UserError(f"{key}.{filled}={shown(settings[filled])} is {shown(known)} in the data; leave it out")
        regularizer = make(settings, key)
        kind = next((kind for kind, of in KINDS.items() if isinstance(regularizer, of)), None)
        if isinstance(regularizer, nn.Module) and not hasattr(regularizer, "_modules"):
            raise UserError(f"{key}: {type(regularizer).__name__}.__init__ must begin with super().__init__()")
        if kind is None:
            raise UserError(f"{key}: {type(regularizer).__name__} is no regularizer of any kind")
        if (text := common.pop("schedule", None)) is not None:
            schedules[name] = _schedule(text, key, regularizer, cfg.trainer.max_epochs)
        if kind == "layers":
            regularizer = try_to(key, Site, regularizer, **suited(Site, common, key))
        elif any(common.values()):
            setting = next(setting for setting, value in common.items() if value)
            raise UserError(f"{key}.{setting} is for layers, and {type(regularizer).__name__} is none")
        sorted_out[kind][name] = regularizer
    return Regularizers(**sorted_out, schedules=schedules)


def _common(node: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a regularizer's class, and those that all have: ``schedule``; of layers where and how much."""
    settings: Any = OmegaConf.to_container(node, resolve=True)
    common = {key: settings.pop(key) for key in OF_REGULARIZERS if key in settings}
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
