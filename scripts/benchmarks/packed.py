"""Packed studies beside the same studies run by run.

    python scripts/benchmark.py packed [--rounds 3] [--only digits,mnist,...] [--figure docs/packed.svg]

Every arm is the real command in a process of its own, end to end: start, imports, training, checkpoints,
TensorBoard, records, the study's table. The arms of a comparison take turns, round after round, so that a drift of
the machine's speed hits all of them, and the ratio is taken in each round. All arms train the same jobs; their
mean test accuracies are printed, as a check.

    digits  64 jobs (8 dropout rates x 8 L2 strengths), MLP 64-128-10, 30 epochs: basic, joblib, packed
    mnist   16 jobs (4 x 4), MLP 784-128-10, 3 epochs: basic, packed
    resnet  4 jobs (2 x 2), the resnet on digits, 2 epochs: basic, packed
    growth  digits, 5 epochs, 1 to 1,024 jobs: packed, and basic up to 16 jobs
    wide, srivastava, cnn   on a GPU only: 256 jobs of the MNIST MLP, 10 epochs; 32 jobs of 784-1024-1024-2048-10,
            3 epochs; 32 jobs of the cnn, 3 epochs; packed against a few jobs one by one, of which the time of all
            is inferred (the start of the program, known from a study of one job, is counted once)

CPU seconds are those of a command and of all processes that it starts: without what further cores gain.

The mnist and GPU arms need the real MNIST (REGNET_DATA). joblib needs hydra-joblib-launcher:
pip install -e '.[benchmark]'.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

TRAIN = [
    sys.executable,
    str(Path(__file__).parents[1] / "train.py"),
    "-m",
    "study=benchmark",
    "hydra.callbacks.study_report.page=false",
]
RATES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
STRENGTHS = [0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={os.cpu_count()}"],
    "packed": ["hydra/launcher=packed"],
}
SRIVASTAVA = ["model.widths=[1024,1024,2048]"]


@dataclass(frozen=True)
class Study:
    """The overrides of a study; its jobs are a grid of rates x strengths x seeds."""

    overrides: Sequence[str]
    rates: Sequence[float]
    strengths: Sequence[float]
    seeds: int = 1

    def command(self) -> list[str]:
        swept = {"regularizer.dropout.rate": self.rates, "regularizer.l2.strength": self.strengths}
        grid = [f"{key}={','.join(map(str, values))}" for key, values in swept.items()]
        return ["regularizer=[dropout,l2]", *grid, f"seed=range({self.seeds})", *self.overrides]

    def __len__(self) -> int:
        return len(self.rates) * len(self.strengths) * self.seeds


@dataclass
class Timed:
    """One run of a study: wall-clock and CPU seconds, mean test accuracy, and the GPU's utilisation while it ran."""

    seconds: float
    cpu: float
    accuracy: float
    jobs: int
    busy: list[float] = field(default_factory=list)


DIGITS = Study(["trainer.max_epochs=30"], RATES, STRENGTHS)
MNIST = Study(["data=mnist", "trainer.max_epochs=3"], RATES[:8:2], STRENGTHS[:8:2])
RESNET = Study(["model=resnet", "trainer.max_epochs=2"], RATES[:2], STRENGTHS[:2])
GROWTH = {
    1: Study(["trainer.max_epochs=5"], RATES[:1], STRENGTHS[:1]),
    4: Study(["trainer.max_epochs=5"], RATES[:2], STRENGTHS[:2]),
    16: Study(["trainer.max_epochs=5"], RATES[:4], STRENGTHS[:4]),
    64: Study(["trainer.max_epochs=5"], RATES, STRENGTHS),
    256: Study(["trainer.max_epochs=5"], RATES, STRENGTHS, seeds=4),
    1024: Study(["trainer.max_epochs=5"], RATES, STRENGTHS, seeds=16),
}
ON_GPU = {
    "wide": (Study(["data=mnist", "trainer.max_epochs=10"], RATES, STRENGTHS, seeds=4), 3),
    "srivastava": (Study(["data=mnist", "trainer.max_epochs=3", *SRIVASTAVA], RATES, STRENGTHS[:8:2]), 3),
    "cnn": (Study(["data=mnist", "trainer.max_epochs=3", "model=cnn"], RATES, STRENGTHS[:8:2]), 3),
}


def run(study: Study, launcher: str, most: float | None = None) -> Timed:
    """The study by the real command line, in an empty folder.

    Raises subprocess.TimeoutExpired: it took more than `most` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [*TRAIN, *study.command(), *LAUNCHERS[launcher]]
        busy: list[float] = []
        done = threading.Event()
        threading.Thread(target=_watch_gpu, args=(busy, done), daemon=True).start()
        start, before = time.perf_counter(), _cpu_seconds()
        try:
            ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=most)
        finally:
            done.set()
        seconds, cpu = time.perf_counter() - start, _cpu_seconds() - before
        records = [json.loads(path.read_text()) for path in Path(folder).rglob("record.json")]
    if ended.returncode or len(records) != len(study) or any(one["status"] != "completed" for one in records):
        sys.exit(f"benchmark: the {launcher} study failed\n{ended.stdout}\n{ended.stderr}")
    if launcher == "packed" and any(one["launcher"] != "packed" for one in records):
        sys.exit(f"benchmark: not all jobs were packed\n{ended.stdout}")
    accuracy = statistics.fmean(one["metrics"]["test"]["accuracy"] for one in records)
    return Timed(seconds, cpu, accuracy, len(study), busy)


def compare(name: str, study: Study, launchers: Sequence[str], rounds: int) -> None:
    """Prints the time of each launcher, and how many times as fast packed is."""
    times: dict[str, list[Timed]] = {launcher: [] for launcher in launchers}
    for number in range(rounds):
        for launcher in launchers:
            times[launcher].append(run(study, launcher))
            print(f"{name} round {number + 1} {launcher:<7} {times[launcher][-1].seconds:7.1f} s", flush=True)
    print(f"\n{name}: {len(study)} jobs, {rounds} rounds, {_machine()}; median (min to max)")
    for launcher, each in times.items():
        seconds = [one.seconds for one in each]
        ratios = [one.seconds / packed.seconds for one, packed in zip(each, times["packed"], strict=True)]
        work = [one.cpu / packed.cpu for one, packed in zip(each, times["packed"], strict=True)]
        print(
            f"  {launcher:<7} {_spread(seconds)} s   {_spread(ratios)}x packed   CPU {_spread(work)}x packed   "
            f"mean test accuracy {100 * each[0].accuracy:.2f} %"
        )
    print(flush=True)


def compare_to_few(name: str, study: Study, few: int, rounds: int) -> None:
    """Packed against `few` of its jobs one by one, from which the time of all is inferred."""
    print(f"{name}: {len(study)} jobs packed, {few} one by one, {rounds} rounds, {_machine()}")
    for number in range(rounds):
        found = against_few(study, few)
        busy = f", GPU busy {found['busy']:.0f} % of the time" if "busy" in found else ""
        print(
            "  round {}: one job {one:.1f} s, each further one {each:.2f} s, so all {alone:.0f} s; "
            "packed {packed:.1f} s: {ratio:.1f}x".format(number + 1, **found)
            + busy,
            flush=True,
        )


def against_few(study: Study, few: int, left: Callable[[], float | None] = lambda: None) -> dict[str, float]:
    """Seconds of the packed study, and of its jobs one by one, as inferred from `few` of them.

    Args:
        left: the seconds that are left to it.
    """
    packed = run(study, "packed", left())
    one = run(Study(study.overrides, study.rates[:1], study.strengths[:1]), "basic", left()).seconds
    several = run(Study(study.overrides, study.rates[:few], study.strengths[:1]), "basic", left()).seconds
    each = (several - one) / (few - 1)
    alone = one + each * (len(study) - 1)
    found = {"jobs": len(study), "one": one, "each": each, "alone": alone, "packed": packed.seconds}
    found |= {"ratio": alone / packed.seconds, "accuracy": packed.accuracy}
    return found | ({"busy": statistics.fmean(packed.busy)} if packed.busy else {})


def growth(rounds: int, figure: Path | None, most: int) -> None:
    """How time grows with the number of jobs."""
    times: dict[str, dict[int, list[float]]] = {"packed": {}, "basic": {}}
    for _ in range(rounds):
        for jobs, study in GROWTH.items():
            for launcher, limit in (("packed", most), ("basic", 16)):
                if jobs <= limit and (jobs > 1 or launcher == "basic"):  # one job is not packed
                    times[launcher].setdefault(jobs, []).append(run(study, launcher).seconds)
    print(f"growth: digits, MLP 64-128-10, 5 epochs, {rounds} rounds, {_machine()}; median (min to max)")
    for launcher, by_jobs in times.items():
        for jobs, seconds in by_jobs.items():
            print(f"  {launcher:<7} {jobs:5d} jobs {_spread(seconds)} s", flush=True)
    if figure:
        _draw({name: {n: statistics.median(s) for n, s in by.items()} for name, by in times.items()}, figure)


def _draw(times: dict[str, dict[int, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for (name, by_jobs), colour, marker in zip(times.items(), ("#0b6e99", "#999999"), "os", strict=True):
        axes.plot(list(by_jobs), list(by_jobs.values()), color=colour, marker=marker, label=f"{name} launcher")
    basic = times["basic"]
    first, last = min(basic), max(basic)
    each = (basic[last] - basic[first]) / (last - first)
    more = [last, max(times["packed"])]
    axes.plot(more, [basic[last] + each * (n - last) for n in more], color="#999999", linestyle=":", label="inferred")
    axes.set(xscale="log", yscale="log", xlabel="jobs of the study", ylabel="seconds, end to end")
    axes.set_xticks(sorted({*times["packed"], 1}), labels=[f"{n:,}" for n in sorted({*times["packed"], 1})])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    print(f"figure: {path}")


def _watch_gpu(busy: list[float], done: threading.Event) -> None:
    """The GPU's utilisation in per cent, once a second."""
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    while not done.wait(1):
        try:
            answer = subprocess.run(query, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return
        busy.append(float(answer.stdout.splitlines()[0]))


def _cpu_seconds() -> float:
    """Of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):6.1f} ({min(values):.1f} to {max(values):.1f})"


def _machine() -> str:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores, {device}, torch {torch.__version__}"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py packed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="digits,mnist,resnet,growth," + ",".join(ON_GPU), help="by commas")
    parser.add_argument("--most", type=int, default=1024, help="jobs of the growth")
    parser.add_argument("--figure", type=Path, help="an SVG file for the growth")
    arguments = parser.parse_args(argv)
    arguments.figure = arguments.figure and arguments.figure.absolute()
    chosen = arguments.only.split(",")
    if os.environ.get("REGNET_DATA"):
        os.environ["REGNET_DATA"] = str(Path(os.environ["REGNET_DATA"]).absolute())
    joblib = ["joblib"] if find_spec("hydra_plugins.hydra_joblib_launcher") else []
    if "digits" in chosen:
        compare("digits", DIGITS, ["basic", *joblib, "packed"], arguments.rounds)
    if "mnist" in chosen:
        compare("mnist", MNIST, ["basic", "packed"], arguments.rounds)
    if "resnet" in chosen:
        compare("resnet", RESNET, ["basic", "packed"], arguments.rounds)
    if "growth" in chosen:
        growth(arguments.rounds, arguments.figure, arguments.most)
    gpu = [name for name in ON_GPU if name in chosen]
    if gpu:
        import torch

        if not torch.cuda.is_available():
            print(f"{', '.join(gpu)}: not measured, as there is no GPU")
            return
        for name in gpu:
            compare_to_few(name, *ON_GPU[name], arguments.rounds)
