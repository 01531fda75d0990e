"""How much a search prunes, and how often it prunes its best trial: ``python -m tests.helpers.pruning``.

Scores are made up. A trial is as good as its number, drawn evenly from [0, 1] at random, times `signal`; each of its
runs adds noise of standard deviation 1. The best trial is the one with the greatest number.
"""

import tempfile
from pathlib import Path
from random import Random
from typing import NamedTuple

from regnet.sweepers.search import SearchSweeper
from tests.helpers.made_up import made_up

SPREAD = 12**0.5  # an evenly drawn number times this has the standard deviation 1


class Searched(NamedTuple):
    """The share that each batch pruned, and whether the best trial was among the pruned."""

    pruned: list[float]
    lost: bool


def search(number: int, signal: float, trials: int = 40, together: int = 8) -> Searched:
    """One search with these scores; `signal` is the spread of the trials by that of the noise."""
    draw = Random(number)

    def measure(settings: dict[str, float]) -> dict[str, float]:
        return {"loss": -signal * SPREAD * settings["optimizer.lr"] + draw.gauss(0, 1)}

    sweeper = SearchSweeper(trials=trials, together=together, sampler_seed=number)
    with tempfile.TemporaryDirectory() as folder, made_up(sweeper, measure, Path(folder), "val/loss") as batches:
        sweeper.sweep(["optimizer.lr=interval(0,1)", "seed=range(3)"])
    firsts = [batch for batch in batches if all("seed=0" in job for job in batch)]
    others = [job for batch in batches if batch not in firsts for job in batch]
    kept = {_number(job) for job in others}
    shares = [sum(_number(job) not in kept for job in batch) / len(batch) for batch in firsts]
    best = max(_number(job) for batch in firsts for job in batch)
    return Searched(shares, best not in kept)


def _number(job: list[str]) -> float:
    return next(float(text.partition("=")[2]) for text in job if text.startswith("optimizer.lr="))


def main() -> None:
    for signal in (0, 0.5, 1, 2, 4):
        found = [search(number, signal) for number in range(60)]
        batches = zip(*(one.pruned for one in found), strict=True)
        pruned = " ".join(f"{100 * sum(batch) / len(batch):3.0f}" for batch in batches)
        print(f"signal {signal}: pruned by batch {pruned} %; best lost in {sum(one.lost for one in found)} of 60")


if __name__ == "__main__":
    main()
