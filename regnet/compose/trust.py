"""What a run folder may name: a record can come from a stranger, and is data, not a program.

Nothing that a recorded config names is imported or called before all of its names were found in the list below, of
classes that do what they are for and no more. It holds names and not prefixes: ``torch.load`` begins like ``torch.nn``.
What a person writes on the command line is not checked, as it is their own.
"""

import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..core.errors import UserError
from ..core.moved import present_name
from .make import literal

LIBRARIES = {"regnet", "torch", "torchvision", "lightning", *sys.stdlib_module_names}  # too much to allow as a whole
DOWNLOADS = ("weights", "pretrained")  # how torchvision's arguments begin for which it fetches weights


def trusted(config: Mapping[str, Any], allow: Sequence[str], where: str) -> DictConfig:
    """A recorded config, of which all that it names may be built. Its texts stay texts: none is interpolated.

    Args:
        allow: modules, or single names, whose code the person trusts; they are imported here.
        where: begins each sentence, such as ``run=FOLDER``.

    Raises:
        UserError: it names anything else.
    """
    config = renamed(config)
    named = list(targets(config))
    for key, node in named:
        _check(key, node, allow, where)
    for key, node in named:
        if node["_target_"] not in known()[key.partition(".")[0]]:
            _check_home(key, node["_target_"], allow, where)
    return OmegaConf.create(literal(config))


def renamed(node: Any) -> Any:
    """A recorded config with the names that classes have today."""
    if isinstance(node, Mapping):
        return {k: present_name(v) if k == "_target_" and isinstance(v, str) else renamed(v) for k, v in node.items()}
    return [renamed(item) for item in node] if isinstance(node, list | tuple) else node


def targets(node: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping in `node` that names something to be called, under its key; Hydra looks for them everywhere."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield key, node
        for name, item in node.items():
            yield from targets(item, f"{key}.{name}" if key else name)
    elif isinstance(node, list | tuple):
        for i, item in enumerate(node):
            yield from targets(item, f"{key}.{i}")


@cache
def known() -> Mapping[str, Collection[str]]:
    """The names that may stand in ``_target_`` below each key of a config."""
    from lightning.pytorch import Callback, Trainer, callbacks, loggers, profilers
    from torch import nn, optim
    from torchvision import models as architectures

    from .. import attacks, data, measures, models, optimizers, regularizers
    from ..data import folder, table, vision
    from ..training import callbacks as own_callbacks

    modules = _classes(nn, nn.modules.__all__, nn.Module) | _classes(regularizers, regularizers.__all__, nn.Module)
    kinds = (regularizers.Penalty, regularizers.Update, regularizers.BatchTransform, regularizers.WeightLayer)
    acting = _classes(regularizers, regularizers.__all__, *kinds) | modules
    of_data = (
        acting
        | _names(data, ["data_module"])
        | _names(folder, ["ImageFolder"])
        | _names(table, ["Csv", "Sklearn"])
        | _names(vision, ["TorchvisionImages"])
    )
    attacking = _classes(attacks, attacks.__all__, attacks.Attack)
    own = _classes(own_callbacks, own_callbacks.__all__, Callback)
    schedulers = optim.lr_scheduler
    return {
        "model": modules
        | _names(models, models.__all__)
        | _classes(architectures, dir(architectures), nn.Module)
        | _architectures(),
        "regularizer": acting | own,
        "data": of_data,
        "attack": attacking,
        "measure": of_data | attacking | _classes(measures, measures.__all__, measures.Measure),
        "optimizer": _classes(optim, optim.__all__, optim.Optimizer) | _names(optimizers, optimizers.__all__),
        "scheduler": _classes(schedulers, schedulers.__all__, schedulers.LRScheduler),
        "callbacks": own | _classes(callbacks, callbacks.__all__, Callback),
        "logger": _classes(loggers, loggers.__all__, loggers.Logger),
        "trainer": {"lightning.pytorch.Trainer", "lightning.Trainer", f"{Trainer.__module__}.Trainer"}
        | _classes(profilers, profilers.__all__, profilers.Profiler)
        | _classes(own_callbacks, own_callbacks.__all__, profilers.Profiler),
    }


@cache
def _architectures() -> frozenset[str]:
    """torchvision's functions that make a network; those of detection and segmentation fetch weights unasked."""
    from torchvision import models

    return _names(models, [models.get_model_builder(name).__name__ for name in models.list_models(module=models)])


def _classes(package: ModuleType, names: Collection[str], *kinds: type) -> frozenset[str]:
    found = {name: getattr(package, name) for name in names}
    return _names(package, [n for n, thing in found.items() if isinstance(thing, type) and issubclass(thing, kinds)])


def _names(package: ModuleType, names: Collection[str]) -> frozenset[str]:
    """Each as `package` offers it and as its own module does."""
    found = {name: getattr(package, name) for name in names}
    both = {f"{home}.{name}": thing for name, thing in found.items() for home in (package.__name__, thing.__module__)}
    # torchvision.models.googlenet is a module too, and found first
    return frozenset(name for name, thing in both.items() if resolve_name(name) is thing)


def _check(key: str, node: Mapping[str, Any], allow: Sequence[str], where: str) -> None:
    target = node["_target_"]
    if not isinstance(target, str) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", target):
        raise UserError(f"{where}: its {key}._target_={target!r} is not the name of a class")
    if any(_within(target, name) for name in allow):
        return
    if target not in known().get(key.partition(".")[0], ()):
        least = target if target.partition(".")[0] in LIBRARIES else target.rpartition(".")[0]
        raise UserError(
            f"{where}: its {key}._target_={target} is not in the list of classes that a run folder may name; only if "
            f"you trust that code, let it be imported and called by allow=[{least}]"
        )
    fetched = [name for name, value in node.items() if value and name.startswith((*DOWNLOADS, "_args_"))]
    if target in _architectures() and fetched:
        raise UserError(
            f"{where}: its {key}.{fetched[0]} would fetch weights, and those of the run are in its checkpoint; "
            "allow=[torchvision.models] lets it"
        )


def _check_home(key: str, target: str, allow: Sequence[str], where: str) -> None:
    """What an allowed module has only imported, such as ``my.pkg.os.system``, is not its own."""
    try:
        found = resolve_name(target)
    except Exception as error:
        raise UserError(f"{where}: its {key}._target_={target} cannot be imported: {error}") from error
    home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    if target not in allow and not any(_within(home, name) for name in allow):
        raise UserError(f"{where}: its {key}._target_={target} is {home}, which allow=[{','.join(allow)}] is not of")


def _within(name: str, module: str) -> bool:
    return f"{name}.".startswith(f"{module}.")
