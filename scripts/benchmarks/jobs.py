"""What each further job of a study costs that is trained one by one, beside its epochs.

    python scripts/benchmark.py jobs [--rounds 5] [--jobs 10] [--epochs 1] [--ways command,python]

Studies of seeds on digits, by `regnet-train -m` with `hydra/launcher=basic` (without the page) and by `regnet.train` in
one program. In each round a study of one job and one of 1 + `--jobs` jobs are trained with so many epochs each, and the
same with twice as many: what a further job takes is the difference of two such studies, by the job, and its fixed cost
is what it would take without any epoch. A step is recorded after 30, which is in the fifth epoch here: `--epochs 10`
counts the recording as well. Told are the milliseconds of CPU of a job, which depend less on what else the machine does
than the clock's.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

from .start import run

TRAIN = Path(__file__).parents[1] / "train.py"
IN_PYTHON = """
import sys, regnet
for seed in range(int(sys.argv[1])):
    regnet.train("data=digits", f"trainer.max_epochs={sys.argv[2]}", f"seed={seed}", folder=f"runs/{seed}")
"""


def arguments(way: str, jobs: int, epochs: int) -> list[str]:
    """Of the program that trains the study."""
    if way == "python":
        return ["-c", IN_PYTHON, str(jobs), str(epochs)]
    settings = ["data=digits", f"trainer.max_epochs={epochs}", f"seed=range({jobs})", "study=jobs"]
    return [str(TRAIN), "-m", *settings, "hydra.callbacks.study_report.page=false"]


def further(way: str, jobs: int, epochs: int) -> float:
    """Milliseconds of CPU that each of so many further jobs takes."""
    first, all_of_them = (run(arguments(way, count, epochs))[0] for count in (1, 1 + jobs))
    return 1000 * (all_of_them - first) / jobs


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py jobs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--ways", default="command,python")
    asked = parser.parse_args(argv)
    print(f"{asked.rounds} rounds of {asked.jobs} further jobs, {os.cpu_count()} cores; median (smallest to largest)")
    for way in asked.ways.split(","):
        lengths = (asked.epochs, 2 * asked.epochs)
        each = [[further(way, asked.jobs, epochs) for epochs in lengths] for _ in range(asked.rounds)]
        short, fixed = [one for one, _ in each], [2 * one - two for one, two in each]
        job = f"a job of {asked.epochs} epoch{'s' * (asked.epochs > 1)} {_spread(short)} ms"
        print(f"  {way:<8} {job}   without its epochs {_spread(fixed)} ms", flush=True)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):5.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main(sys.argv[1:])
