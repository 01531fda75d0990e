"""`regnet-evaluate`: the chosen checkpoint of a run, measured again, on any data and any perturbation."""

import json
import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..compose.arguments import describe, fits
from ..compose.protocol import HALF
from ..core.errors import UserError, near, shown
from .launch import launch, stop
from .measure import measure_study, measured

if TYPE_CHECKING:
    from torch import Tensor

    from ..compose.load import TrainedRun
    from ..data import Samples
    from ..regularizers import BatchTransform
    from ..training.objective import Objective

KINDS = {  # of the settings in conf/evaluate.yaml
    "run": str | None,
    "study": str | None,
    "part": str,
    "check_classes": bool,
    "passes": int | None,
    "compact": bool,
    "seed": int,
    "allow": list[str],
    "save": str | None,
}


def main() -> None:
    sys.argv[1:] = map(_quoted, sys.argv[1:])
    launch(task, config_name="evaluate", own_modules=False)


def _quoted(argument: str) -> str:
    """A run's folder is named by its overrides, which Hydra would read as more of them."""
    key, _, path = argument.partition("=")
    if key not in ("run", "study"):
        return argument
    is_folder = Path(path).is_dir() or ("=" in path and path[:1] not in "'\"")
    return f"{key}='{path}'" if is_folder else argument


def task(cfg: DictConfig) -> None:
    """One job of Hydra: measures, prints, and saves where asked to. Exit code 1 if it is not what was recorded."""
    try:
        _check(cfg)
        if cfg.study is not None:
            find_own_modules(cfg)
            measure_study(cfg)
            return
        metrics, recorded = evaluate(cfg)
    except (UserError, OmegaConfBaseException) as error:  # here, as Hydra would print more than the sentence
        stop(error, "evaluate")
    passes = "" if cfg.passes is None else f", mean of {cfg.passes} stochastic passes"
    print(f"{cfg.part} part of {'the same' if 'data' not in cfg else 'other'} data, {cfg.run}{passes}")
    width = max(9, *map(len, metrics))
    for name, value in metrics.items():
        before = "" if recorded is None or recorded.get(name) is None else f"   recorded {recorded[name]:.6g}"
        print(f"  {name:<{width}} {value:.6g}{before}")
    difference = None if recorded is None else _difference(metrics, recorded)
    if recorded is not None:
        print(difference or ("equal to the record" + " to rounding" * (metrics != recorded)))
    if cfg.save:
        try:
            Path(cfg.save).write_text(json.dumps(metrics, indent=2) + "\n")
        except OSError as error:
            stop(UserError(f"save={cfg.save} cannot be written ({error.strerror})"), "evaluate")
    if difference:
        sys.exit(1)


def _check(cfg: DictConfig) -> None:
    """Raises UserError for a setting of the wrong kind, or one that nothing reads."""
    known = (*KINDS, "data", "measure", "perturbation")
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    for key, value in settings.items():
        if key not in known:
            raise UserError(f"+{key}={shown(value)}: nothing reads {key}{near(key, known)}")
        if key in KINDS and not fits(value, KINDS[key]):
            raise UserError(f"{key}={shown(value)} must be {describe(KINDS[key])}")
    if (cfg.run is None) == (cfg.study is None):
        raise UserError("give run=FOLDER, the folder of a run, or study=FOLDER, one of runs to be measured")
    if not (cfg.run if cfg.study is None else cfg.study):
        key = "run" if cfg.study is None else "study"
        raise UserError(f"{key}='' must be the folder of a {key}")
    if not isinstance(cfg.measure, DictConfig):
        raise UserError(f"measure={shown(cfg.measure)} chooses nothing; measure=none is the least")
    if cfg.seed < 0:
        raise UserError(f"seed={cfg.seed} must be a whole number >= 0")
    for part in ("data", "perturbation"):
        if cfg.get(part) and "_target_" not in cfg[part]:
            raise UserError(f"{part}={cfg[part]} must name a class by its _target_; {part}=NAME chooses one")


def _difference(metrics: dict[str, float], recorded: dict[str, float | None]) -> str | None:
    """What to say if the metrics are not the recorded ones, to the rounding of runs that were trained together."""

    def close(value: float, before: float | None) -> bool:
        if before is None:  # JSON has no NaN
            return not math.isfinite(value)
        return math.isclose(value, before, rel_tol=1e-5, abs_tol=1e-6)

    if not recorded:
        return "NOT equal to the record, which holds no such metrics"
    if all(name in metrics and close(metrics[name], before) for name, before in recorded.items()):
        return None
    return "NOT equal to the record: another device, precision, thread count or version?"


def evaluate(cfg: DictConfig) -> tuple[dict[str, float], dict[str, float | None] | None]:
    """The metrics that `cfg` (conf/evaluate.yaml) asks for, and those of the record where they must be equal.

    Raises:
        UserError: a folder without a finished run, one that names code which is not allowed, or data that the network
            was not made for.
    """
    import torch
    from torch import nn

    from ..compose.load import TrainedRun
    from ..compose.make import make_a, try_to
    from ..compose.measured import add_measures, missing
    from ..core.seeds import derive
    from ..core.threads import computing
    from ..data.loader import EpochSampler, make_loader
    from ..measures import Part
    from ..measures.monte_carlo import measure_passes
    from ..measures.part import unit_of
    from ..measures.task_metrics import task_metrics
    from ..models.compact import compact
    from ..regularizers import BatchTransform

    torch.set_flush_denormal(True)  # the arithmetic of training, so that its metrics come out again
    find_own_modules(cfg)
    run = TrainedRun.read(cfg.run, cfg.allow, where=f"run={Path(cfg.run)}")
    objective, trained, record = run.objective, run.config, run.record
    device = torch.device("cpu" if record.get("device") == "cpu" or not torch.cuda.is_available() else "cuda")
    if cfg.compact:
        whole, objective.network = objective.network, try_to("compact=true", compact, objective.network)
        before, after = (sum(p.numel() for p in net.parameters()) for net in (whole, objective.network))
        print(f"{before:,} parameters → {after:,}")

    with run.in_one_sentence():
        samples = _samples(cfg, run)
        sampler = EpochSampler(len(samples), 0, shuffle=False)
        batches = make_loader(samples, trained.data.eval_batch_size, sampler, device)
    perturb: Callable[..., Any] | None = None
    if cfg.perturbation:
        perturb = make_a(nn.Module, cfg.perturbation, "perturbation").to(device)
    if isinstance(perturb, BatchTransform) and perturb.of_objective:
        perturb = partial(_attacked, perturb, objective)
    torch.manual_seed(derive(cfg.seed, "perturbation"))
    with computing(record.get("threads")):  # another number adds up in another order
        if cfg.passes is None:
            metrics = try_to(run.where, task_metrics, objective, batches, perturb, device)
        else:
            metrics = try_to(f"passes={cfg.passes}", measure_passes, objective, batches, cfg.passes, perturb, device)
    as_recorded = "data" not in cfg and cfg.part in ("test", "val") and not cfg.perturbation and cfg.passes is None
    if cfg.measure:
        if as_recorded and not cfg.compact and missing(record, cfg.measure):
            record = add_measures(Path(cfg.run), cfg.measure, cfg.allow, run.where)
        part = Part(objective, batches, device, cfg.part, perturb, unit_of(run.data))
        metrics |= measured(cfg.measure, run, part)
    if as_recorded and cfg.part == "val" and (precision := str(trained.trainer.precision)) in HALF:
        print(f"not compared with the record: the validation was in {precision}, and this is in float32")
        as_recorded = False
    if not as_recorded:
        return metrics, None
    own = {number for one in (record.get("measures") or {}).values() for number in one["scales"]}
    recorded = (record.get("metrics") or {}).get(cfg.part) or {}
    return metrics, {name: value for name, value in recorded.items() if name in metrics or name not in own}


def _attacked(attack: "BatchTransform", objective: "Objective", x: "Tensor", y: "Tensor") -> tuple["Tensor", "Tensor"]:
    from ..core.exact import in_precision
    from ..measures.task_metrics import widen

    return attack(in_precision(x, widen(objective)), y, objective)


def _samples(cfg: DictConfig, run: "TrainedRun") -> "Samples":
    """The part that is asked for, of the run's own data or of other data that fit its network."""
    from ..compose.make import make
    from ..compose.structure import check_class
    from ..data.vision import offline

    trained = run.config
    if "data" not in cfg:
        node = run.data_node()
    else:
        node = cfg.data
        check_class(node, "data")
        if "schema" in node and "schema" in trained.data:
            node.schema = trained.data.schema
    parts = ("test", "val", "train", "all")
    if cfg.part not in parts:
        raise UserError(f"part={cfg.part} must be one of {', '.join(parts)}")
    data = make(node, "data")
    with offline() if "data" not in cfg else nullcontext():
        if cfg.part == "all":
            loaded = data.source.load()
            samples, classes, notes = loaded.all(), loaded.classes, loaded.notes
        else:
            data.setup()
            samples, classes, notes = getattr(data, cfg.part), data.classes, data.notes
    for note in notes if "data" in cfg else ():
        print(f"warning: {note}")
    found = list(samples.x[0].shape), classes and len(classes)
    fits = list(trained.data.shape), trained.data.num_classes
    if found != fits:
        raise UserError(
            f"the data have samples of shape {found[0]} and {found[1]} classes, "
            f"but run={cfg.run} was trained on shape {fits[0]} and {fits[1]} classes"
        )
    known: Any = OmegaConf.to_container(trained.data, resolve=True)  # a class may be called ???
    names = zip(classes or (), known.get("classes") or (), strict=False)
    other = next((pair for pair in names if str(pair[0]) != pair[1]), None)
    if other and cfg.check_classes:
        raise UserError(
            f"the data have a class {other[0]!r} where run={cfg.run} was trained on {other[1]!r}; "
            "check_classes=false measures nevertheless"
        )
    return samples


def find_own_modules(cfg: DictConfig) -> None:
    """As `load.own_modules`, for the rest of the program, where the command line names such a module."""
    from ..compose.trust import known, targets

    own = [part for part in ("data", "perturbation", "measure") if part in cfg]

    def of(key: str) -> str:
        return "measure" if key.startswith("measure") else "data"

    mine = targets(OmegaConf.to_container(OmegaConf.masked_copy(cfg, own)))
    if cfg.allow or any(node["_target_"] not in known()[of(key)] for key, node in mine):
        sys.path.append(str(Path.cwd()))
