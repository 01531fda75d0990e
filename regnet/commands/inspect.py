"""`regnet-inspect`: which regularizer acts on what, and how strongly. Trains nothing."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ..core.console import plain_console
from ..core.errors import UserError
from ..core.spelling import short
from .launch import launch, stop

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..compose.build import Setup
    from ..data import DataModule

Acting = dict[str, list[tuple[str, float | None]]]  # by parameter: (regularizer, its strength there)


def main() -> None:
    launch(task, config_name="inspect")


def task(cfg: DictConfig) -> None:
    """One job of Hydra: builds the run and prints its tables."""
    from ..compose.build import build

    if HydraConfig.get().mode == RunMode.MULTIRUN:
        stop(UserError("-m: regnet-inspect shows one run, so leave -m out"), "inspect")
    try:
        setup = build(cfg, HydraConfig.get().overrides.task)
    except (UserError, OmegaConfBaseException) as error:
        stop(error, "inspect")
    console = plain_console(width=None if sys.stdout.isatty() else 160)
    show_columns(console, setup.data)
    for table in (classes(setup), parameters(setup), sites(cfg, setup), decays(setup), others(cfg, setup)):
        if table.rows:
            console.print(table, "")
    for sentence in warnings(setup):
        console.print(f"warning: {sentence}", soft_wrap=True)


def show_columns(console: "Console", data: "DataModule") -> None:
    """Column x what it becomes x its missing values x its first ones, of data that are a table's file."""
    from rich.text import Text

    if data.description is None:
        return
    table = _table("column", "becomes", "missing", "first values")
    for row in data.description.rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(Text(data.description.file), soft_wrap=True)
    console.print(table, "")


class Decay(NamedTuple):
    """One that shrinks weights, in the three conventions; None where the optimizer has no equivalent of it.

    Under plain SGD with learning rate η all three are one thing. Adam divides what is in the gradient by the size
    of the gradients, and momentum adds it up over steps: there, a decoupled decay has no equivalent in the gradient.

    Args:
        penalty: λ of λ Σ w² in the objective.
        coupled: λ w in the gradient, `weight_decay` of torch.optim.SGD and Adam.
        decoupled: (1 - η λ) w, `weight_decay` of torch.optim.AdamW.
        step: η λ, the share of the weight that goes at each step.
    """

    name: str
    penalty: float | None
    coupled: float | None
    decoupled: float | None
    step: float | None


def in_gradient(name: str, coupled: float, lr: float, plain: bool) -> Decay:
    """A decay whose λ w is in the gradient; `plain` of SGD without momentum."""
    return Decay(name, coupled / 2, coupled, coupled if plain else None, lr * coupled if plain else None)


def beside_gradient(name: str, decoupled: float, lr: float, plain: bool) -> Decay:
    """A decay of the weight itself."""
    if plain:
        return Decay(name, decoupled / 2, decoupled, decoupled, lr * decoupled)
    return Decay(name, None, None, decoupled, lr * decoupled)


def classes(setup: "Setup") -> "Table":
    """Class x part: how many samples; of noisy labels in training those that it sees."""
    data = setup.data
    table = _table("class", "train", "val", "test")
    if data.classes is None:  # of a regression
        return table
    counts = [part.y.bincount(minlength=len(data.classes)).tolist() for part in (data.train, data.val, data.test)]
    for name, *row in zip(data.classes, *counts, strict=True):
        table.add_row(str(name), *map(str, row))
    return table


def parameters(setup: "Setup") -> "Table":
    """Parameter x regularizer x strength, and what decides whether it is a weight: see `regnet.core.roles.role`."""
    network, acting, found = setup.module.objective.network, acting_on(setup), roles(setup)
    table = _table("parameter", "shape", "role", "regularizers")
    for key, parameter in network.named_parameters():
        shape = "x".join(map(str, parameter.shape)) or "1"
        told = ", ".join(f"{name} {_number(value)}" for name, value in acting[key]) or "–"
        table.add_row(key, shape, found[key], told)
    return table


def roles(setup: "Setup") -> dict[str, str]:
    """What each parameter of the network is, such as ``weight``, ``bias`` or ``weight, frozen``."""
    from ..core.weights import parameters

    every = parameters(setup.module.objective.network)
    return {one.key: one.role + ("" if one.tensor.requires_grad else ", frozen") for one in every}


def acting_on(setup: "Setup") -> Acting:
    """What acts on each parameter of the network by itself, the optimizer's own decay included."""
    from ..core.weights import grouped
    from ..regularizers.schedules import NAMES

    network = setup.module.objective.network
    acting: Acting = {key: [] for key, _ in network.named_parameters()}
    for name, regularizer in setup.regularizers.on_weights().items():
        own = next((buffer.item() for key, buffer in regularizer.named_buffers(recurse=False) if key in NAMES), None)
        for factor, found in grouped(network, regularizer.select, regularizer.scale):
            for weight in found:
                acting[weight.key].append((name, None if own is None else factor * own))
    frozen = {key for key, parameter in network.named_parameters() if not parameter.requires_grad}
    for group, keys in _groups(setup):
        for key in keys if group.get("weight_decay") else ():
            if key not in frozen:
                acting[key].append(("optimizer.weight_decay", group["weight_decay"]))
    return acting


def sites(cfg: DictConfig, setup: "Setup") -> "Table":
    """Site x layer x rate."""
    paths = {module: path for path, module in setup.module.objective.network.named_modules()}
    table = _table("site", "place in the network", "layer", "rate", "schedule")
    for name, site in setup.regularizers.layers.items():
        for layer in site.made:
            rate = layer._buffers.get("rate")
            row = paths[layer], type(layer).__name__, _number(None if rate is None else rate.item())
            table.add_row(name, *row, str(cfg.regularizer[name].get("schedule") or "–"))
    return table


def decays(setup: "Setup") -> "Table":
    """Each decay in all conventions."""
    table = _table("decay", "λ Σ w²", "coupled: λ w in the gradient", "decoupled: (1 - η λ) w", "a step: η λ")
    for decay in decays_of(setup):
        table.add_row(decay.name, *map(_number, decay[1:]))
    return table


def decays_of(setup: "Setup") -> Iterator[Decay]:
    import torch

    from ..regularizers import L2, CoupledDecay, ElasticNet, WeightDecay

    optimizer = setup.module.make_optimizer(setup.module.objective.parameters())
    group = optimizer.param_groups[0]
    lr = float(group["lr"])
    plain = isinstance(optimizer, torch.optim.SGD) and not group["momentum"]
    for name, regularizer in setup.regularizers.on_weights().items():
        if not isinstance(regularizer, L2 | ElasticNet | CoupledDecay | WeightDecay):
            continue
        strength = regularizer.strength.item()
        if isinstance(regularizer, L2):
            yield in_gradient(name, 2 * strength, lr, plain)
        elif isinstance(regularizer, ElasticNet):
            yield in_gradient(f"{name}, its Σ w²", 2 * (1 - regularizer.l1_ratio.item()) * strength, lr, plain)
        elif isinstance(regularizer, CoupledDecay):
            yield in_gradient(name, strength, lr, plain)
        else:
            yield beside_gradient(name, strength, lr, plain)
    if own := group.get("weight_decay"):
        beside = isinstance(optimizer, torch.optim.AdamW) or group.get("decoupled_weight_decay")
        yield (beside_gradient if beside else in_gradient)("optimizer.weight_decay", own, lr, plain)


def others(cfg: DictConfig, setup: "Setup") -> "Table":
    """What acts elsewhere, in the order in which it acts."""
    chosen = setup.regularizers
    table = _table("regularizer", "acts on", "class")
    names = {id(transform): name for name, transform in chosen.transforms.items()}
    for transform in setup.module.transforms:
        table.add_row(names[id(transform)], "the training batch", type(transform).__name__)
    shown = chosen.on_weights()
    for where, kind in (("the objective", chosen.penalties), ("the optimizer's step", chosen.updates)):
        for name, regularizer in kind.items():
            if name not in shown:
                table.add_row(name, where, type(regularizer).__name__)
    for name, callback in chosen.callbacks.items():
        table.add_row(name, "the course of training", type(callback).__name__)
    return table


def warnings(setup: "Setup") -> list[str]:
    """What looks odd about the data, and a sentence for each set of decays that cover the same weights."""
    names = {decay.name.partition(",")[0] for decay in decays_of(setup)}
    covered: dict[tuple[str, ...], list[str]] = {}
    for key, acting in acting_on(setup).items():
        both = tuple(dict.fromkeys(name for name, value in acting if name in names and value))
        if len(both) > 1:
            covered.setdefault(both, []).append(key)
    return [*setup.data.notes] + [
        f"{' and '.join(both)} both shrink {', '.join(keys)}" for both, keys in covered.items()
    ]


def _groups(setup: "Setup") -> Iterator[tuple[Mapping[str, Any], Sequence[str]]]:
    network = setup.module.objective.network
    names = {id(parameter): key for key, parameter in network.named_parameters()}
    for group in setup.module.make_optimizer(setup.module.objective.parameters()).param_groups:
        yield group, [names[id(parameter)] for parameter in group["params"] if id(parameter) in names]


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else short(value, 6)


if __name__ == "__main__":
    main()
