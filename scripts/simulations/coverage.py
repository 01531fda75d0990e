"""How often each kind of 95 % interval holds the true mean (a minute)."""

import numpy as np
from scipy.special import ndtr, ndtri

from regnet.report.estimate import over

SEEDS = (3, 5, 10, 20)
KINDS = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy tails (t3)": lambda rng, n: rng.standard_t(3, n),
    "skewed (exponential)": lambda rng, n: rng.exponential(1, n) - 1,
    "rounded counts": lambda rng, n: np.round(2 * rng.standard_normal(n)),
}


def intervals(x, rng, resamples=999):
    """The intervals of the sample x by name."""
    n, mean, deviation = len(x), x.mean(), x.std(ddof=1)
    drawn = x[rng.integers(0, n, (resamples, n))]  # (resamples, n)
    means = drawn.mean(1)
    student = over(x.tolist(), 1.0, "seeds").interval()
    if student is None:  # all equal: no interval of any kind
        return
    yield "Student t", student
    yield "percentile bootstrap", np.quantile(means, [0.025, 0.975])
    share = np.clip((means < mean).mean() + (means == mean).mean() / 2, 1 / (resamples + 1), 1 - 1 / (resamples + 1))
    bias, away = ndtri(share), (x - mean) / (n - 1)  # jackknife mean − each
    spread = (away**2).sum() ** 1.5
    skew = (away**3).sum() / (6 * spread) if spread else 0.0
    z = bias + ndtri(np.array([0.025, 0.975]))
    yield "BCa bootstrap", np.quantile(means, ndtr(bias + z / (1 - skew * z)))
    with np.errstate(all="ignore"):
        t = np.sort(np.nan_to_num((means - mean) / drawn.std(1, ddof=1), nan=0.0, posinf=1e9, neginf=-1e9))
    low, high = t[round(0.025 * (resamples + 1)) - 1], t[round(0.975 * (resamples + 1)) - 1]
    yield "bootstrap-t", (mean - high * deviation, mean - low * deviation)


def coverage(kind, n, samples, seed=0):
    """The share of intervals that hold the true mean, 0, by kind of interval."""
    rng = np.random.default_rng(seed)
    held: dict[str, list[bool]] = {}
    for _ in range(samples):
        for name, (low, high) in intervals(KINDS[kind](rng, n), rng):
            held.setdefault(name, []).append(low <= 0 <= high)
    return {name: float(np.mean(found)) for name, found in held.items()}


def main(samples):
    print(f"| n = {' / '.join(map(str, SEEDS))} | Student t | percentile bootstrap | BCa bootstrap | bootstrap-t |")
    print("|---|---|---|---|---|")
    for kind in KINDS:
        shares = [coverage(kind, n, samples) for n in SEEDS]
        cells = (" / ".join(f"{100 * share[name]:.0f}" for share in shares) for name in shares[0])
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)
