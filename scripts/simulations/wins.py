"""How often the interval of the probability that a run of one arm beats one of another holds it."""

import numpy as np
from scipy.integrate import quad
from scipy.special import ndtr

from regnet.report.effect_size import wins

SHIFTS = (0.0, 0.5, 1.0, 2.0, 3.0)  # between the arms, in standard deviations of their runs


def held(kind, runs, shift, shared, samples, seed=0):
    """The share of intervals that hold P(X > Y), and that probability.

    Args:
        kind: "normal" or "exponential", the law of a run's own luck.
        shared: the share of the variance that the runs of one seed have in common.
    """
    rng = np.random.default_rng(seed)
    draw = {"normal": rng.standard_normal, "exponential": lambda size: rng.exponential(1, size) - 1}[kind]
    common = np.sqrt(shared) * rng.standard_normal((samples, runs, 1))
    x, y = np.moveaxis(common + np.sqrt(1 - shared) * draw((samples, runs, 2)) + [shift, 0.0], -1, 0)
    truth = _probability(kind, shift, shared)
    found = [wins(ours, theirs) for ours, theirs in zip(x.tolist(), y.tolist(), strict=True)]
    return float(np.mean([one.low <= truth <= one.high for one in found])), truth


def _probability(kind, shift, shared):
    """P(X > Y) of runs of different seeds: X − Y is normal, or normal and the difference of two exponentials."""
    if kind == "normal":
        return float(ndtr(shift / np.sqrt(2)))
    scale, spread = np.sqrt(1 - shared), np.sqrt(2 * shared)

    def above(luck):  # P(X > Y) where one exponential exceeds the other by `luck` times the scale; Laplace's density
        gain = shift + scale * luck
        chance = ndtr(gain / spread) if spread else float(gain > 0)
        return chance * np.exp(-abs(luck)) / 2

    return float(quad(above, -40, 40, points=[-shift / scale, 0.0], limit=200)[0])


def main(samples):
    print(f"| held, %, {' / '.join(f'{shift:g}' for shift in SHIFTS)} sd apart | 3 runs | 5 runs | 10 runs |")
    print("|---|---|---|---|")
    for kind in ("normal", "exponential"):
        for shared in (0.0, 0.5, 0.9):
            rows = ([held(kind, runs, shift, shared, samples)[0] for shift in SHIFTS] for runs in (3, 5, 10))
            cells = (" / ".join(f"{100 * share:.0f}" for share in row) for row in rows)
            print(f"| {kind}, {100 * shared:.0f} % of the variance shared | {' | '.join(cells)} |", flush=True)
