"""`regnet-evaluate`: the chosen checkpoint of a run, measured again, on any data and any perturbation."""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .cli import launch, stop
from .errors import UserError
from .runs import MEASURED, DamagedRecord, read_record

if TYPE_CHECKING:
    from .data import Samples


def main() -> None:
    sys.argv[1:] = map(_quoted, sys.argv[1:])
    launch(task, config_name="evaluate")


def _quoted(argument: str) -> str:
    """A run's folder is named by its overrides, which Hydra would read as more of them."""
    key, _, path = argument.partition("=")
    return f"run='{path}'" if key == "run" and Path(path).is_dir() else argument


def task(cfg: DictConfig) -> None:
    """One job of Hydra: measures, prints, and saves where asked to."""
    try:
        metrics, recorded = evaluate(cfg)
    except (UserError, OmegaConfBaseException) as error:  # here, as Hydra would print more than the sentence
        stop(error, "evaluate")
    passes = "" if cfg.passes is None else f", mean of {cfg.passes} stochastic passes"
    print(f"{cfg.part} part of {'the same' if 'data' not in cfg else 'other'} data, {cfg.run}{passes}")
    width = max(9, *map(len, metrics))
    for name, value in metrics.items():
        before = "" if recorded is None else f"   recorded {recorded[name]:.6g}"
        print(f"  {name:<{width}} {value:.6g}{before}")
    if recorded is not None:
        print(_compared(metrics, recorded))
    if cfg.save:
        try:
            Path(cfg.save).write_text(json.dumps(metrics, indent=2) + "\n")
        except OSError as error:
            stop(UserError(f"save={cfg.save} cannot be written ({error.strerror})"), "evaluate")


def _compared(metrics: dict[str, float], recorded: dict[str, float]) -> str:
    if metrics == recorded:
        return "equal to the record"
    if all(math.isclose(metrics[name], recorded[name], rel_tol=1e-5, abs_tol=1e-6) for name in recorded):
        return "equal to the record to rounding"  # a packed run is validated together with others
    return "NOT equal to the record: another device, precision, thread count or version?"


def evaluate(cfg: DictConfig) -> tuple[dict[str, float], dict[str, float] | None]:
    """The metrics that `cfg` (conf/evaluate.yaml) asks for, and those of the record where they must be equal.

    Raises:
        UserError: a folder without a finished run, or data that the network was not made for.
    """
    import torch

    from .build import Statistics, build_objective, build_regularizers
    from .compact import compact
    from .data.loader import EpochSampler, make_loader
    from .make import make, try_to
    from .measure import chosen_checkpoint, load_objective, measure
    from .monte_carlo import measure_passes
    from .seeds import derive

    torch.set_flush_denormal(True)  # the arithmetic of training, so that its metrics come out again
    folder = Path(cfg.run)
    record = _read(folder)
    trained = OmegaConf.create(record["config"])
    axes = (trained.data.shape[0], *(1 for _ in trained.data.shape[1:]))
    statistics = Statistics(torch.zeros(axes), torch.ones(axes))  # until the checkpoint's are loaded
    objective = build_objective(trained, statistics, build_regularizers(trained), record["overrides"])
    load_objective(objective, chosen_checkpoint(folder / "checkpoints"))
    if cfg.compact:
        whole, objective.network = objective.network, try_to("compact=true", compact, objective.network)
        before, after = (sum(p.numel() for p in net.parameters()) for net in (whole, objective.network))
        print(f"{before:,} parameters → {after:,}")

    samples = _samples(cfg, trained)
    device = torch.device("cpu" if record["device"] == "cpu" or not torch.cuda.is_available() else "cuda")
    sampler = EpochSampler(len(samples), 0, shuffle=False)
    batches = make_loader(samples, trained.data.eval_batch_size, sampler, device)
    perturb = make(cfg.perturbation, "perturbation").to(device) if cfg.perturbation else None
    torch.manual_seed(derive(cfg.seed, "perturbation"))
    if cfg.passes is None:
        metrics = measure(objective, batches, perturb, device)
    else:
        metrics = try_to(f"passes={cfg.passes}", measure_passes, objective, batches, cfg.passes, perturb, device)
    as_recorded = "data" not in cfg and cfg.part in ("test", "val") and not cfg.perturbation and cfg.passes is None
    return metrics, record["metrics"][cfg.part] if as_recorded else None


def _read(folder: Path) -> dict[str, Any]:
    try:
        record = read_record(folder)
    except DamagedRecord as error:
        raise UserError(str(error)) from error
    if record is None:
        raise UserError(f"run={folder} is not the folder of a finished run: it has no record.json")
    if record["status"] not in MEASURED:
        raise UserError(f"run={folder} has nothing to evaluate: {record['status']}, {record['reason']}")
    return record


def _samples(cfg: DictConfig, trained: DictConfig) -> "Samples":
    """The part that is asked for, of the run's own data or of other data that fit its network."""
    from .make import make

    node = trained.data
    if "data" not in cfg:
        _find_again(node.source, Path(cfg.run))
    else:
        node = cfg.data
        if "schema" in node and "schema" in trained.data:
            node.schema = trained.data.schema
    parts = ("test", "val", "train", "all")
    if cfg.part not in parts:
        raise UserError(f"part={cfg.part} must be one of {', '.join(parts)}")
    data = make(node, "data")
    if cfg.part == "all":
        loaded = data.source.load()
        samples, classes = loaded.samples if loaded.test is None else loaded.samples + loaded.test, loaded.classes
    else:
        data.setup()
        samples, classes = getattr(data, cfg.part), data.classes
    found = list(samples.x[0].shape), classes and len(classes)
    fits = list(trained.data.shape), trained.data.num_classes
    if found != fits:
        raise UserError(
            f"the data have samples of shape {found[0]} and {found[1]} classes, "
            f"but run={cfg.run} was trained on shape {fits[0]} and {fits[1]} classes"
        )
    names = zip(classes or (), trained.data.get("classes") or (), strict=False)
    other = next((pair for pair in names if str(pair[0]) != pair[1]), None)
    if other and cfg.check_classes:
        raise UserError(
            f"the data have a class {other[0]!r} where run={cfg.run} was trained on {other[1]!r}; "
            "check_classes=false measures nevertheless"
        )
    return samples


def _find_again(source: DictConfig, folder: Path) -> None:
    """Relative paths to the data of the run in `folder` begin where it was started, if they are still there."""
    hydra = folder / ".hydra" / "hydra.yaml"
    if not hydra.exists():
        return
    start = OmegaConf.load(hydra).hydra.runtime.cwd
    for key in ("path", "root"):
        if isinstance(source.get(key), str) and (path := start / Path(source[key]).expanduser()).exists():
            source[key] = str(path)
