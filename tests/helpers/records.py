"""Made-up runs whose truth is known."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

from regnet.core.overrides import Override
from regnet.report.study import Study, studies
from regnet.run.record import find_runs, write_record

KNOWN = Path(__file__).parents[1] / "report" / "known"  # see test_report_known.py
CONFIG = "data: {}\nmodel: {}\nregularizer: {}\nseed: 0\n"


def classification(accuracy: float, test: float = 0.9, loss: float = 0.1, gap: float = 0.02) -> dict:
    """Metrics with this validation accuracy and loss and this test accuracy."""

    def split(score: float, cost: float) -> dict:
        return {"loss": cost, "accuracy": score, "nll": cost, "ece": 0.01}

    return {
        "train": split(accuracy + gap, loss - 0.05),
        "val": split(accuracy, loss),
        "test": split(test, loss),
        "gap": {"loss": 0.05, "accuracy": gap},
        "sparsity": 0.25,
        "weight_norm": 12.5,
    }


def regression(rmse: float) -> dict:
    """Metrics with this validation and test rmse."""
    split = {"loss": rmse**2, "rmse": rmse, "r2": 0.4}
    return {"train": split, "val": split, "test": split, "gap": {"loss": 0.0, "rmse": 0.0, "r2": 0.0}}


def config(overrides: list[str], shape: tuple[int, ...] | None = (1, 8, 8)) -> dict:
    """What Hydra would compose from the overrides, in small; without a `shape` if the run failed before its data."""
    composed = {"data": {"source": "digits", "batch_size": 128, "shape": shape and list(shape)}, "regularizer": {}}
    for override in overrides:
        read = Override.guess(override)
        if read.key == "regularizer":
            for name in read.options:
                composed["regularizer"] |= {name: {"_target_": name}} if name != "none" else {}
        elif read.key == "data":
            composed["data"]["source"] = read.value
        else:
            *path, last = read.parts
            node = composed
            for name in path:
                node = node.setdefault(name, {})
            node[last] = read.value
    return composed


def record(overrides: list[str], metrics: dict | None, status: str = "completed", **fields) -> dict:
    """A whole record; the seed is that of the overrides."""
    seeds = [int(text.partition("=")[2]) for text in overrides if text.startswith("seed=")]
    return {
        "status": status,
        "reason": None,
        "overrides": overrides,
        "config": config(overrides),
        "seed": seeds[-1] if seeds else 0,
        "epochs": 30,
        "best_epoch": 17,
        "seconds": 4.0,
        "metrics": metrics,
        "device": "cpu",
        "launcher": "basic",
        "versions": {"torch": "2.9"},
        "started": "2026-01-01T00:00:00",
    } | fields


def add_run(study: Path, overrides: list[str], metrics: dict | None, status: str = "completed", **fields) -> Path:
    """Write a run folder below `study`, numbered as Hydra would."""
    folder = study / f"{len(list(study.glob('*')))}_{','.join(overrides).replace('/', '')}"
    folder.mkdir(parents=True)
    write_record(folder, record(overrides, metrics, status, **fields))
    return folder


def add_unfinished(study: Path, overrides: list[str], config: str = CONFIG) -> Path:
    """A folder as Hydra leaves it before the run has ended."""
    folder = study / f"{len(list(study.glob('*')))}_unfinished"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(config)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {text}\n" for text in overrides))
    return folder


def add_damaged(study: Path, text: str = json.dumps({"status": "completed"})[:-4]) -> Path:
    """A folder whose record ends in the middle."""
    folder = study / f"{len(list(study.glob('*')))}_damaged"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(text)
    return folder


def study_in(folder: Path) -> Study:
    """The only one in the folder."""
    (found,) = studies(find_runs(folder))
    return found


def factorial(folder: Path, truth: Callable[[int, int, int], float], seeds: int = 3) -> Study:
    """dropout and l2 on and off, without and with batch norm; the truth is the accuracy of (dropout, l2, norm)."""
    names = {(0, 0): "none", (1, 0): "dropout", (0, 1): "l2", (1, 1): "[dropout,l2]"}
    for (dropout, l2), norm, seed in itertools.product(names, (0, 1), range(seeds)):
        overrides = [f"regularizer={names[dropout, l2]}", f"model.norm={('none', 'batch')[norm]}", f"seed={seed}"]
        add_run(folder, overrides, classification(truth(dropout, l2, norm) + 0.001 * seed))
    return study_in(folder)
