"""How often the 95 % and 99 % intervals over seeds × splits hold the gain on new seeds and splits."""

import statistics
from itertools import product

import numpy as np

from regnet.report.estimate import estimate, over

SHAPES = tuple(product((3, 5, 10), (2, 3, 4, 5)))  # seeds, splits
VARIANCES = tuple(product((0, 0.1, 1, 10), repeat=2))  # of seeds and of splits; that of single runs is 1


def tables(seeds, splits, variances, samples, seed=0):
    """Differences of so many studies, (samples, seeds, splits); the true gain is 0."""
    rng = np.random.default_rng(seed)
    ours, theirs = np.sqrt(variances)
    return (
        ours * rng.standard_normal((samples, seeds, 1))
        + theirs * rng.standard_normal((samples, 1, splits))
        + rng.standard_normal((samples, seeds, splits))
    )


def coverage(seeds, splits, variances, samples, level=0.95, missing=0):
    """The share of intervals that hold the true gain, and their median width in true standard errors.

    Args:
        missing: runs of each study that are lost.
    """
    ours, theirs = variances
    error = np.sqrt(ours / seeds + theirs / splits + 1 / (seeds * splits))
    rng, found = np.random.default_rng(1), []
    for table in tables(seeds, splits, variances, samples):
        values = dict(zip(np.ndindex(seeds, splits), table.ravel().tolist(), strict=True))
        for lost in rng.choice(seeds * splits, missing, replace=False):
            del values[divmod(int(lost), splits)]
        found.append(estimate(values, 1.0).interval(level))
    held = np.mean([interval is not None and interval[0] <= 0 <= interval[1] for interval in found])
    return float(held), statistics.median(high - low for low, high in found) / float(error)


def of_means(seeds, splits, variances, samples):
    """The share of Student's intervals over the means of the more numerous, which take the fewer as given."""
    axis = 2 if seeds >= splits else 1
    found = [over(x.tolist(), 1.0, "").interval() for x in tables(seeds, splits, variances, samples).mean(axis)]
    return float(np.mean([low <= 0 <= high for low, high in found]))


def main(samples):
    print("| seeds × splits | 95 % holds | 99 % holds | width | one run lost | means of the more numerous |")
    print("|---|---|---|---|---|---|")
    for seeds, splits in SHAPES:
        shares, wide, lost, means = [], [], [], []
        for variances in VARIANCES:
            held, width = coverage(seeds, splits, variances, samples)
            shares.append(held)
            wide.append((coverage(seeds, splits, variances, samples, 0.99)[0], width))
            lost.append(coverage(seeds, splits, variances, samples, missing=1)[0])
            means.append(of_means(seeds, splits, variances, samples))
        widths = statistics.fmean(width for _, width in wide)
        cells = (_range(shares), _range([share for share, _ in wide]), f"{widths:.1f}", _range(lost), _range(means))
        print(f"| {seeds} × {splits} | {' | '.join(cells)} |", flush=True)


def _range(shares):
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f}"
