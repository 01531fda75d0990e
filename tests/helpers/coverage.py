"""How often each kind of 95 % interval holds the true mean: the table in regnet/report/statistics.py (a minute).

python -m tests.helpers.coverage
"""

import numpy as np
from scipy.special import ndtr, ndtri

from regnet.report.statistics import mean_interval

KINDS = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "t3": lambda rng, n: rng.standard_t(3, n),
    "skewed": lambda rng, n: rng.exponential(1, n) - 1,
    "counts": lambda rng, n: np.round(2 * rng.standard_normal(n)),
}


def intervals(x, rng, resamples=999):
    """The intervals of the sample x by name."""
    n, mean, deviation = len(x), x.mean(), x.std(ddof=1)
    drawn = x[rng.integers(0, n, (resamples, n))]  # (resamples, n)
    means = drawn.mean(1)
    centre, half = mean_interval(x.tolist())
    yield "student", (centre - half, centre + half)
    yield "percentile", np.quantile(means, [0.025, 0.975])
    share = np.clip((means < mean).mean() + (means == mean).mean() / 2, 1 / (resamples + 1), 1 - 1 / (resamples + 1))
    bias, away = ndtri(share), (x - mean) / (n - 1)  # jackknife mean − each
    spread = (away**2).sum() ** 1.5
    skew = (away**3).sum() / (6 * spread) if spread else 0.0
    z = bias + ndtri(np.array([0.025, 0.975]))
    yield "BCa", np.quantile(means, ndtr(bias + z / (1 - skew * z)))
    with np.errstate(all="ignore"):
        t = np.sort(np.nan_to_num((means - mean) / drawn.std(1, ddof=1), nan=0.0, posinf=1e9, neginf=-1e9))
    low, high = t[round(0.025 * (resamples + 1)) - 1], t[round(0.975 * (resamples + 1)) - 1]
    yield "bootstrap-t", (mean - high * deviation, mean - low * deviation)


def coverage(kind, n, samples, seed=0):
    """The share of samples whose interval holds the true mean, 0, by kind of interval."""
    rng = np.random.default_rng(seed)
    held: dict[str, int] = {}
    for _ in range(samples):
        for name, (low, high) in intervals(KINDS[kind](rng, n), rng):
            held[name] = held.get(name, 0) + (low <= 0 <= high)
    return {name: count / samples for name, count in held.items()}


if __name__ == "__main__":
    for kind in KINDS:
        for n in (3, 5, 10, 20):
            shares = coverage(kind, n, 1500)
            print(f"{kind:8} n={n:2}", *(f"{name} {share:.3f}" for name, share in shares.items()), sep="  ", flush=True)
