"""Several arms against one baseline: errors, intervals that hold at once, and power."""

import numpy as np

from regnet.report.estimate import over
from regnet.report.family import ALPHA, corrected, simultaneous

KINDS = {  # metrics of runs without any difference between arms, in units of their spread
    "normal": lambda rng, size: rng.standard_normal(size),
    "heavy tails (t3)": lambda rng, size: rng.standard_t(3, size),
    "skewed": lambda rng, size: rng.exponential(1, size),
    "counts of 360, sd 2": lambda rng, size: 360 * _float32(rng, size, 2),
    "counts of 360, sd 0.5": lambda rng, size: 360 * _float32(rng, size, 0.5),
}


def family(kind, arms, seeds, samples, gain=0.0, seed=0):
    """Of studies with so many arms besides the baseline, all of them `gain` standard deviations d_z better:

    the share in which at least one true difference is outside its interval, that in which at least one difference is
    called one (p corrected), and the mean share of differences that are.
    """
    rng, missed, called = np.random.default_rng(seed), [], []
    for _ in range(samples):
        scores = KINDS[kind](rng, (arms + 1, seeds))
        shift = gain * np.sqrt(2)  # of two standard normal metrics, the difference has the deviation √2
        found = [over((arm - scores[0] + shift).tolist(), 360.0, "seeds") for arm in scores[1:]]
        ends = [one.interval(simultaneous(arms)) for one in found]
        missed.append(any(end is not None and not end[0] <= shift <= end[1] for end in ends))
        called.append([corrected(one.p(), arms) < ALPHA for one in found])
    return float(np.mean(missed)), float(np.mean(np.any(called, axis=1))), float(np.mean(called))


def _float32(rng, size, deviation):
    """Shares of 360 images, as a record holds them."""
    return (np.round(330 + deviation * rng.standard_normal(size)) / 360).astype(np.float32).astype(float)


def main(samples):
    print("| no difference, 3 / 5 / 10 seeds | arms | an interval misses, % | one is called different, % |")
    print("|---|---|---|---|")
    for kind in KINDS:
        for arms in (1, 2, 4, 8):
            found = [family(kind, arms, seeds, samples) for seeds in (3, 5, 10)]
            cells = (" / ".join(f"{100 * one[place]:.1f}" for one in found) for place in (0, 1))
            print(f"| {kind} | {arms} | {' | '.join(cells)} |", flush=True)
    print("\n| d = 1, found, % | 5 seeds | 10 seeds | 20 seeds |\n|---|---|---|---|")
    for arms in (1, 2, 4, 8):
        cells = (f"{100 * family('normal', arms, seeds, samples, gain=1.0)[2]:.0f}" for seeds in (5, 10, 20))
        print(f"| {arms} arms besides the baseline | {' | '.join(cells)} |", flush=True)
