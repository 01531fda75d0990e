"""What the page of a study takes, beside the study without it.

    python scripts/benchmark.py page [--rounds 5] [--only study,records]

    study    64 jobs on digits (8 dropout rates x 8 L2 strengths, 30 epochs), packed, by turns with the page and without
    records  the page of 1,000 runs, trained once (5 epochs): at the end of their study, where the process that makes it
             has imported what that takes, and by `regnet-report`, which imports it first, with the page and without

Told are medians with their range. What the page adds is taken in each round.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .packed import DIGITS, LAUNCHERS, TRAIN, Study, run

REPORT = [sys.executable, str(Path(__file__).parents[1] / "report.py")]
PAGE = "hydra.callbacks.study_report.page=true"
RECORDS = Study(
    ["trainer.max_epochs=5"],
    [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    [0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    seeds=10,
)
READY = 5.0  # seconds, of which importing takes one
# The end of a study, in a process that has imported as little as one whose runs other processes have trained.
END = """
import contextlib, io, sys, time
from pathlib import Path
from regnet.report.ahead import PageProcess
from regnet.report.command import show
folder, ahead = Path(sys.argv[1]), PageProcess()
time.sleep(float(sys.argv[2]))
start = time.perf_counter()
ahead.begin(folder)
with contextlib.redirect_stdout(io.StringIO()):
    show(ahead.told())
table = time.perf_counter()
ahead.page()
print(table - start, time.perf_counter() - start)
"""

Times = dict[str, list[tuple[float, float]]]  # name ─► seconds of the clock and of the CPU, a pair for each round


def study(rounds: int) -> Times:
    """The whole command, with the page and without."""
    times: Times = {"without the page": [], "with the page": []}
    for _ in range(rounds):
        for name, more in zip(times, ([], [PAGE]), strict=True):
            found = run(Study([*DIGITS.overrides, *more], DIGITS.rates, DIGITS.strengths), "packed")
            times[name].append((found.seconds, found.cpu))
    return times


def records(folder: Path, rounds: int) -> tuple[Times, list[list[float]]]:
    """`regnet-report` with the page and without; seconds to the table and to the page at the end of the study."""
    _done([*TRAIN, *RECORDS.command(), *LAUNCHERS["packed"], f"hydra.sweep.dir={folder}"])
    times: Times = {"regnet-report without the page": [], "regnet-report with the page": []}
    ends = []
    for _ in range(rounds):
        for name, more in zip(times, (["--no-page"], []), strict=True):
            times[name].append(_timed(lambda more=more: _done([*REPORT, str(folder), *more])))
        ends.append([float(text) for text in _done([sys.executable, "-c", END, str(folder), str(READY)]).split()])
    return times, ends


def _done(command: Sequence[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"benchmark: {' '.join(command)} failed\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    start, before = time.perf_counter(), _cpu_seconds()
    work()
    return time.perf_counter() - start, _cpu_seconds() - before


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print(title: str, times: Times) -> None:
    print(title)
    for name, pairs in times.items():
        clock, cpu = zip(*pairs, strict=True)
        print(f"  {name:<31} clock {_spread(clock)} s   CPU {_spread(cpu)} s")
    without, with_page = times.values()
    added = [[one - other for one, other in zip(a, b, strict=True)] for a, b in zip(with_page, without, strict=True)]
    clock, cpu = zip(*added, strict=True)
    print(f"  {'the page adds':<31} clock {_spread(clock)} s   CPU {_spread(cpu)} s", flush=True)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):5.2f} ({min(values):.2f} to {max(values):.2f})"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="study,records", help="by commas")
    arguments = parser.parse_args(argv)
    chosen = arguments.only.split(",")
    print(f"{arguments.rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; median (min to max)")
    if "study" in chosen:
        _print(f"study: {len(DIGITS)} jobs on digits, packed", study(arguments.rounds))
    if "records" in chosen:
        with tempfile.TemporaryDirectory() as folder:
            times, ends = records(Path(folder, "study"), arguments.rounds)
        _print(f"records: {len(RECORDS)} runs", times)
        table, page = zip(*ends, strict=True)
        print(f"  at the end of the study: table after {_spread(table)} s, page after {_spread(page)} s")
