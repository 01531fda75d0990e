"""Whether two commits train the same runs to the same numbers.

python scripts/same_numbers.py BASE           # a revision against the present working tree
python scripts/same_numbers.py BASE HERE      # each a revision, or a folder with a checkout

About two minutes on two cores. Every run of `STUDIES` is trained by the command line of both checkouts, alone and
packed; some are interrupted and go on. Compared are the record's status, epochs, best epoch, steps and metrics, and all
of metrics.csv: whatever the base has, the other must have as well, and may have more. Runs alone must be equal bit by
bit, packed ones to rounding: |a - b| <= 1e-5 max(1, |a|, |b|), where counts of samples and weights may move by 0.01.

The table has a line for each run: whether it is equal alone, and the greatest difference of its packed twin. The last
line is "All N runs have the same numbers.", with exit code 0; else the last lines say where they differ, and it is 1.
"""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
    "interrupted": """data.train_size=200 trainer.max_epochs=60 callbacks.last.every_seconds=0 seed=1,2 scheduler=cosine
        regularizer=[dropout,l2] regularizer.dropout.schedule=early:0.5""",
}
LAUNCHERS = {"alone": "basic", "packed": "packed"}
TOLERANCE = 1e-5
COUNTS = ("accuracy", "ece", "sparsity", "zeros")  # rounding takes one sample or one weight across an edge
COUNTED = 0.01

PROGRAM = """
import runpy, sys
from pathlib import Path
others = [path for path in sys.path if path != {0!r} and (Path(path) / "pyproject.toml").is_file()]
sys.path[:] = [path for path in sys.path if path not in others]
runpy.run_path({0!r} + "/scripts/train.py", run_name="__main__")
"""  # the checkout that is installed would offer its plugins to Hydra too

Numbers = dict[str, Any]


def main(base: str, here: str = str(Path(__file__).parents[1])) -> int:
    with ExitStack() as stack:
        checkouts = [stack.enter_context(checkout(place)) for place in (base, here)]
        folder = Path(stack.enter_context(TemporaryDirectory()))
        tasks = list(product(STUDIES, LAUNCHERS, range(2)))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(
                lambda task: train(checkouts[task[2]], folder / "-".join(map(str, task)), *task[:2]), tasks
            )
            runs = dict(zip(tasks, found, strict=True))
    return show(runs)


@contextmanager
def checkout(place: str) -> Iterator[Path]:
    """The folder itself, or for the time being one with the files of that revision."""
    if Path(place).is_dir():
        yield Path(place).resolve()
        return
    git = ["git", "-C", str(Path(__file__).parents[1]), "worktree"]
    with TemporaryDirectory() as folder:
        subprocess.run([*git, "add", "--quiet", "--detach", f"{folder}/checkout", place], check=True)
        try:
            yield Path(folder).resolve() / "checkout"
        finally:
            subprocess.run([*git, "remove", "--force", f"{folder}/checkout"], check=True)


def train(checkout: Path, folder: Path, study: str, launcher: str) -> dict[str, Numbers]:
    """The numbers of the study's runs, by their overrides."""
    folder.mkdir()
    fixed = ["-m", f"study={study}", "hydra.callbacks.study_report.page=false", f"hydra/launcher={LAUNCHERS[launcher]}"]
    command = [sys.executable, "-c", PROGRAM.format(str(checkout)), *fixed, *STUDIES[study].split()]
    # one thread: sums of several depend on the machine, and a pack would be split into processes of one run each
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w") as log:

        def start() -> subprocess.Popen:
            return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

        if study == "interrupted":
            interrupt(start(), folder)
        code = start().wait()
    text = (folder / "log").read_text()
    if code:
        sys.exit(f"{study}, {launcher}, of {checkout} ended with exit code {code}:\n{text[-3000:]}")
    for line in text.splitlines():
        if line.startswith("packed: "):
            print(f"{study}, {checkout}: {line}", flush=True)
    return dict(numbers(path.parent) for path in folder.rglob("record.json"))


def interrupt(process: subprocess.Popen, folder: Path) -> None:
    """Stops a study as Ctrl-C does, after some epochs of its first run; when exactly must not matter."""
    while process.poll() is None:
        time.sleep(0.01)
        if any(path.read_text().count("\n") > 10 for path in folder.rglob("metrics.csv")):
            process.send_signal(signal.SIGINT)
            break
    process.wait()
    if not any(json.loads(path.read_text())["status"] == "interrupted" for path in folder.rglob("record.json")):
        sys.exit(f"No run was interrupted:\n{(folder / 'log').read_text()[-3000:]}")


def numbers(folder: Path) -> tuple[str, Numbers]:
    """A run's overrides, as values, and all its numbers by name."""
    record = json.loads((folder / "record.json").read_text())
    overrides = OverridesParser.create().parse_overrides(record["overrides"])
    values = {override.key_or_group: override.value() for override in overrides}
    values.pop("study", None)
    found = {name: record[name] for name in ("status", "epochs", "best_epoch", "steps")}
    found |= flat(record["metrics"] or {})
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found["rows"] = len(rows)
    for number, row in enumerate(rows):
        found |= {f"row {number} {name}": float(text) if text else None for name, text in row.items()}
    return "  ".join(f"{key}={value}" for key, value in sorted(values.items(), key=lambda pair: pair[0])), found


def flat(metrics: dict[str, Any], prefix: str = "") -> Numbers:
    found: Numbers = {}
    for name, value in metrics.items():
        found |= flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value}
    return found


def difference(a: Any, b: Any) -> float:
    """Relative to the greater of two numbers, but absolute below 1: a gap is a small difference of larger losses."""
    if a == b or (a != a and b != b):
        return 0.0
    if not isinstance(a, float) or not isinstance(b, float):
        return math.inf
    apart = abs(a - b) / max(1.0, abs(a), abs(b))
    return math.inf if math.isnan(apart) else apart


def compare(base: Numbers | None, here: Numbers | None, exact: bool) -> tuple[float, list[str]]:
    """The greatest difference of one run, but for counts, and what is wrong with it."""
    if base is None or here is None:
        return math.inf, [f"there is no such run {'here' if base else 'in the base'}"]
    greatest, wrong = 0.0, []
    for name, value in base.items():
        apart = difference(value, here[name]) if name in here else math.inf
        counted = any(count in name for count in COUNTS)
        if apart > (0 if exact else COUNTED if counted else TOLERANCE):
            wrong.append(f"{name}: {value} became {here.get(name, 'nothing')}")
        greatest = max(greatest, 0.0 if counted and not exact else apart)
    return greatest, wrong


def show(runs: dict[tuple[str, str, int], dict[str, Numbers]]) -> int:
    """The table; returns the exit code."""
    wrong, count = [], 0
    for study in STUDIES:
        names = list(dict.fromkeys(name for key, found in runs.items() if key[0] == study for name in found))
        common = set.intersection(*(set(name.split("  ")) for name in names))
        print(f"\n{study:<80}  {'alone':<10}  packed")
        for name in names:
            told = {}
            for launcher in LAUNCHERS:
                pair = (runs[study, launcher, side].get(name) for side in range(2))
                told[launcher], found = compare(*pair, exact=launcher == "alone")
                wrong += [f"{study}, {launcher}, {name}: {found[0]} ({len(found)} differ)"] if found else []
                count += 1
            short = "  ".join(part for part in name.split("  ") if part not in common)
            alone = f"{told['alone']:.1e}" if told["alone"] else "equal"
            print(f"{short:<80}  {alone:<10}  {told['packed']:.1e}")
    print("\n" + "\n".join(wrong or [f"All {count} runs have the same numbers."]))
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
