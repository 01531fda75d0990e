"""Whether two commits train the same runs to the same numbers.

python scripts/same_numbers.py BASE [HERE]    # BASE: a revision, or a folder with a checkout; HERE: a folder

About four minutes on two cores. Every run of `STUDIES` is trained by the command line of BASE and of HERE, the present
working tree by default, alone and packed; some are interrupted, or cut by their time, and go on. Runs are matched by
their overrides, as values. Compared are the record's status, epochs, best epoch, steps, operations and metrics, and all
of metrics.csv: what BASE has HERE must have as well, and may have more. Runs alone must be equal bit by bit, packed
ones to rounding: |a - b| <= 1e-5 max(1, |a|, |b|), where counts of samples and weights may move by 0.01.

The table has the greatest difference of each run. The last line is "All N runs have the same numbers.", with exit
code 0; else the last lines say where they differ, and it is 1.
"""

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

SMALL = "data.train_size=200 data.batch_size=32 trainer.max_epochs=3 optimizer.lr=0.01 seed=1,2"
TECHNIQUES = """
    none dropout input_dropout concrete_dropout drop_path shake_shake drop_connect l0 variational_dropout
    l1 l2 elastic_net group_lasso orthogonal l2_sp activity_l2 label_smoothing confidence_penalty gradient_penalty
    jacobian max_norm spectral_clip weight_decay proximal_l1 proximal_group_lasso sam lookahead gradient_clipping
    gradient_noise augment mixup cutmix input_noise random_erasing early_stopping ema swa snapshots
    [dropout,r_drop] [dropout,l2,max_norm] [ema,mixup,weight_decay]
"""
STUDIES = {  # as they are typed
    "techniques": f"""{SMALL} model=resnet model.blocks=[1] model.branches=2 model.norm=group
        regularizer={",".join(TECHNIQUES.split())}""",
    "regression": f"""{SMALL} data=diabetes regularizer=[dropout,l2,mixup,early_stopping]
        regularizer.early_stopping.patience=1 regularizer.early_stopping.min_delta=9
        regularizer.l2.schedule=null,warmup:0.5 regularizer.dropout.schedule=linear:1:0.2""",
    "cnn": f"""{SMALL} model=cnn model.stages=[[4],[6]] model.norm=batch optimizer=sgd optimizer.momentum=0.5,0.9
        scheduler=step scheduler.step_size=1 regularizer=l2,weight_decay""",
    "validation": f"""{SMALL} +trainer.val_check_interval=0.5,1.0 trainer.check_val_every_n_epoch=1,2 scheduler=cosine
        regularizer=[swa,weight_decay] regularizer.swa.start=0.3 regularizer.weight_decay.schedule=late:0.5""",
    "cut": f"{SMALL} +trainer.max_time=00:00:00:00 scheduler=cosine regularizer=[dropout,ema,early_stopping]",
    "interrupted": """data.train_size=200 trainer.max_epochs=90 callbacks.last.every_seconds=0.2 seed=1,2
        scheduler=cosine regularizer=[dropout,l2] regularizer.dropout.schedule=early:0.5""",
}
LAUNCHERS = {"alone": "basic", "packed": "packed"}
TOLERANCE = 1e-5
COUNTS = ("accuracy", "ece", "sparsity", "zeros")  # rounding takes one sample or one weight across an edge
COUNTED = 0.01
ROUNDED = ("step_operations", "rate/", "strength/", "accuracy")  # also alone

PROGRAM = """
import runpy, sys
from pathlib import Path
others = [path for path in sys.path if path != {0!r} and (Path(path) / "pyproject.toml").is_file()]
sys.path[:] = [path for path in sys.path if path not in others]
runpy.run_path({0!r} + "/scripts/train.py", run_name="__main__")
"""  # the checkout that is installed would offer its plugins to Hydra too

Numbers = dict[str, Any]
Runs = dict[str, Numbers]


def main(base: str, here: str = str(Path(__file__).parents[1])) -> int:
    with TemporaryDirectory() as folder:
        sides = [Path(base).resolve(), Path(here).resolve()]
        if not Path(base).is_dir():
            sides[0] = Path(folder, "base")
            subprocess.run(["git", "-C", here, "archive", f"--output={folder}/base.tar", base], check=True)
            shutil.unpack_archive(f"{folder}/base.tar", sides[0], filter="data")
        tasks = [(*task, Path(folder, str(i))) for i, task in enumerate(product(STUDIES, LAUNCHERS, sides))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(lambda task: train(*task), tasks))
    return show(dict(zip(product(STUDIES, LAUNCHERS), zip(found[::2], found[1::2], strict=True), strict=True)))


def train(study: str, launcher: str, checkout: Path, folder: Path) -> Runs:
    """All numbers of the study's runs, by their overrides."""
    folder.mkdir()
    fixed = ["-m", f"study={study}", "hydra.callbacks.study_report.page=false", f"hydra/launcher={LAUNCHERS[launcher]}"]
    fixed += ["monitor=val/loss"]  # by which epochs were chosen before accuracy did
    command = [sys.executable, "-c", PROGRAM.format(str(checkout)), *fixed, *STUDIES[study].split()]
    # one thread: sums of several depend on the machine, and a pack would be split into processes of one run each
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen:
        with (folder / "log").open("a") as log:
            return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    events = interrupt(start(), folder) if study == "interrupted" else []
    while not (code := start().wait()) and any(record["status"] == "cut" for record in records(folder).values()):
        pass
    if code or not all(path.exists() for path in events):  # a run that begins anew clears its folder
        log = (folder / "log").read_text()[-3000:]
        sys.exit(f"{study}, {launcher}, of {checkout}: exit code {code}, or a run that did not go on:\n{log}")
    return dict(numbers(path, record) for path, record in records(folder).items())


def interrupt(process: subprocess.Popen, folder: Path) -> list[Path]:
    """Stops a study as Ctrl-C does, once a run can go on; when exactly must not matter. Returns those runs' events."""
    while process.poll() is None and not any(folder.rglob("last.ckpt")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait()
    stopped = [path for path, record in records(folder).items() if record["status"] == "interrupted"]
    return [event for path in stopped for event in path.glob("events.*")] or sys.exit(f"Nothing to interrupt: {folder}")


def records(folder: Path) -> dict[Path, dict[str, Any]]:
    return {path.parent: json.loads(path.read_text()) for path in folder.rglob("record.json")}


def numbers(folder: Path, record: dict[str, Any]) -> tuple[str, Numbers]:
    parsed = OverridesParser.create().parse_overrides(record["overrides"])
    overrides = sorted(f"{one.key_or_group}={one.value()}" for one in parsed if one.key_or_group != "study")
    found = {name: record[name] for name in ("status", "epochs", "best_epoch", "steps")}
    found["step_operations"] = float(record["step_operations"])
    for part, metrics in record["metrics"].items():
        of_part = metrics if isinstance(metrics, dict) else {"": metrics}
        found |= {f"{part}/{name}": value for name, value in of_part.items()}
    with (folder / "metrics.csv").open(newline="") as file:
        for found["rows"], row in enumerate(csv.DictReader(file), 1):
            found |= {f"row {found['rows']} {name}": float(text) if text else None for name, text in row.items()}
    return "  ".join(overrides), found


def apart(a: Any, b: Any) -> float:
    """Relative to the greater of two numbers, but absolute below 1: a gap is a small difference of larger losses."""
    if a == b:
        return 0.0
    return abs(a - b) / max(1.0, abs(a), abs(b)) if isinstance(a, float) and isinstance(b, float) else math.inf


def compare(base: Numbers, here: Numbers, exact: bool) -> tuple[float, str]:
    """The greatest difference of one run, but for counts, and the first that is too great."""
    found = {name: apart(value, here.get(name)) for name, value in base.items()}
    counts = named(found, ROUNDED if exact else COUNTS)
    at_most, counted = (0.0, TOLERANCE) if exact else (TOLERANCE, COUNTED)
    wrong = [name for name, by in found.items() if not by <= (counted if name in counts else at_most)]
    told = f"{wrong[0]}: {base[wrong[0]]} became {here.get(wrong[0])} ({len(wrong)} differ)" if wrong else ""
    return max(by for name, by in found.items() if name not in counts), told


def named(names: Iterable[str], parts: Iterable[str]) -> set[str]:
    return {name for name in names if any(part in name for part in parts)}


def show(pairs: dict[tuple[str, str], tuple[Runs, Runs]]) -> int:
    """The table; returns the exit code."""
    wrong, count = [], 0
    for study in STUDIES:
        names = sorted({name for launcher in LAUNCHERS for runs in pairs[study, launcher] for name in runs})
        common = set.intersection(*(set(name.split("  ")) for name in names))
        print(f"\n{study:<80}  {'alone':<8}  packed")
        for name in names:
            cells = ["  ".join(part for part in name.split("  ") if part not in common)]
            for launcher in LAUNCHERS:
                base, here = (runs.get(name, {"status": "not there"}) for runs in pairs[study, launcher])
                by, told = compare(base, here, exact=launcher == "alone")
                cells.append(f"{by:.1e}" if by else "equal")
                wrong += [f"{study}, {launcher}, {name}: {told}"] if told else []
                count += 1
            print("{:<80}  {:<8}  {}".format(*cells))
    print("\n" + "\n".join(wrong or [f"All {count} runs have the same numbers."]))
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
