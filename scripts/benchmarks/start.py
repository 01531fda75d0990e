"""The start of a run beside the mere import of the libraries that it is made of.

    python scripts/benchmark.py start [--rounds 5]

Three programs take turns, round after round, each a process of its own: `import torch`, `import torch, lightning`, and
the whole of `regnet-train data=digits trainer.max_epochs=1`. Told are the CPU seconds, which depend less on what else
the machine does than the clock's, and the ratio to the second program, taken in each round.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).parents[1] / "train.py"
PROGRAMS = {
    "import torch": ["-c", "import torch"],
    "import torch, lightning": ["-c", "import torch, lightning"],
    "regnet-train, one epoch": [str(TRAIN), "data=digits", "trainer.max_epochs=1", "hydra.run.dir=run"],
}
YARDSTICK = "import torch, lightning"


def run(arguments: list[str]) -> tuple[float, float]:
    """Seconds of CPU and of the clock, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        before, start = _cpu(), time.perf_counter()
        ended = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        seconds = _cpu() - before, time.perf_counter() - start
    if ended.returncode:
        sys.exit(f"benchmark: {' '.join(arguments)} failed\n{ended.stdout}\n{ended.stderr}")
    return seconds


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(argv).rounds
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, arguments in PROGRAMS.items():
            times[name].append(run(arguments))
    print(f"{rounds} rounds, {os.cpu_count()} cores; median (smallest to largest)")
    for name, each in times.items():
        cpu, clock = zip(*each, strict=True)
        ratios = [own[0] / other[0] for own, other in zip(each, times[YARDSTICK], strict=True)]
        told = f"CPU {_spread(cpu)} s   clock {statistics.median(clock):5.1f} s"
        print(f"  {name:<24} {told}   {_spread(ratios)} of the import")


def _spread(values: list[float] | tuple[float, ...]) -> str:
    return f"{statistics.median(values):5.2f} ({min(values):.2f} to {max(values):.2f})"
