"""How often two one-sided tests call arms equivalent: arms as far apart as the margin, and equal ones."""

import numpy as np

from regnet.report.estimate import estimate, over
from regnet.report.family import simultaneous

MARGINS = (0.5, 1.0, 2.0, 4.0)  # in standard deviations of the differences between runs


def called(seeds, margin, truth, samples, family=1, seed=0):
    """The share of studies in which the difference `truth` is called equivalent to none, as one of `family`."""
    differences = np.random.default_rng(seed).normal(truth, 1.0, (samples, seeds))
    level = simultaneous(family)
    return float(np.mean([bool(over(x.tolist(), 1.0, "seeds").equivalent(margin, level)) for x in differences]))


def called_crossed(seeds, splits, margin, truth, samples, seed=0):
    """The same of seeds × splits, each with a third of the variance."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(samples):
        parts = rng.standard_normal((seeds, 1)), rng.standard_normal((1, splits)), rng.standard_normal((seeds, splits))
        table = truth + sum(parts) / np.sqrt(3)
        values = dict(zip(np.ndindex(seeds, splits), table.ravel().tolist(), strict=True))
        found.append(bool(estimate(values, 1.0).equivalent(margin)))
    return float(np.mean(found))


def main(samples):
    print("| called equivalent, %, at a margin of 0.5 / 1 / 2 / 4 sd | at the margin | equal | equal, one of 8 |")
    print("|---|---|---|---|")
    for seeds in (3, 5, 10, 20):
        rows = (
            [called(seeds, margin, margin, samples) for margin in MARGINS],
            [called(seeds, margin, 0.0, samples) for margin in MARGINS],
            [called(seeds, margin, 0.0, samples, 8) for margin in MARGINS],
        )
        print(f"| {seeds} seeds | {' | '.join(map(_row, rows))} |", flush=True)
    rows = [[called_crossed(5, 5, m, truth * m, samples) for m in MARGINS] for truth in (1, 0)]
    print(f"| 5 seeds × 5 splits | {' | '.join(map(_row, rows))} | |")


def _row(shares):
    return " / ".join(f"{100 * share:.1f}" for share in shares)
