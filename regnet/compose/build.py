"""From a composed config to the objects of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, open_dict

from ..core.errors import UserError
from ..core.metrics import SCALES
from ..core.overrides import Override, read
from ..core.tasks import Classification, Regression
from ..data import DataModule
from ..regularizers import Penalty, Update
from ..run.checkpoints import warm_start
from ..training.module import RegularizedModule
from .checks import check_objective, check_optimizer, check_settings, learning_rate_schedule
from .make import as_typed_of, literal, make, try_to
from .measures import Measures, build_measures, check_measures, in_validation, watched
from .network import Ends, build_objective
from .protocol import check_length, check_monitors, check_precision, settle_modes, settle_monitors, settle_steps
from .regularizers import Regularizers, build_regularizers, build_schedules
from .structure import check_form, check_kinds
from .trainer import processes
from .trials import try_parts


@dataclass(frozen=True)
class Setup:
    """What one run is made of."""

    data: DataModule
    module: RegularizedModule
    regularizers: Regularizers
    measures: Measures


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
    measures = build_measures(cfg.measure)
    known = watched(measures)
    settle_modes(cfg, known)
    check_settings(cfg)
    check_kinds(cfg)
    data = (load or load_data)(cfg)
    describe_data(cfg, data)
    settle_monitors(cfg, (Regression if data.num_classes is None else Classification).names, known)
    check_measures(measures, data, str(cfg.trainer.precision))
    check_length(cfg, len(data.train_dataloader()), min(map(len, data.val_dataloader())))
    settle_steps(cfg, data.batches(processes(cfg.trainer)))
    schedule, interval = learning_rate_schedule(cfg)
    regularizers = build_regularizers(cfg, overrides)
    objective = build_objective(cfg, Ends.of(data), regularizers, overrides)
    check_objective(cfg, objective, regularizers.updates, data.example)
    check_monitors(cfg, [*objective.loss.names, *(name for name in known if name not in SCALES)])
    check_precision(cfg, regularizers.updates)
    if cfg.warm_start is not None:
        warm_start(objective.network, Path(cfg.warm_start))
    beginning: dict[str, Penalty | Update] = {**objective.penalties, **regularizers.updates}
    for name, regularizer in beginning.items():
        try_to(f"regularizer.{name}", regularizer.begin, objective.network)
    try_parts(regularizers.transforms, regularizers.updates, cfg, objective, data.example)
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
    key = as_typed_of(overrides, "optimizer", "scheduler") or "optimizer or scheduler"
    check_optimizer(cfg, objective, try_to(key, module.configure_optimizers))
    module.also = in_validation(measures, data, module)
    return Setup(data, module, regularizers, measures)


def load_data(cfg: DictConfig) -> DataModule:
    """The data module, set up."""
    data = make(cfg.data, "data")
    data.setup()
    return data


def describe_data(cfg: DictConfig, data: DataModule) -> None:
    """What was found in the data goes into ``cfg.data`` for others to refer to."""
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
