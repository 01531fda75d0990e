"""Sequential studies on made-up seeds: how often they decide wrongly, and how many seeds they take.

The error is that of all pairs of equal arms at all looks, of which a study decides on some only.
"""

from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from regnet.report.family import ALPHA
from regnet.report.sequential import critical

BLOCK, MOST, POWER = 5, 40, 0.8
KINDS = {  # accuracies of arms that are equally good, (studies, arms, seeds)
    "normal": lambda rng, size: rng.standard_normal(size),
    "heavy tails (t3)": lambda rng, size: rng.standard_t(3, size),
    "skewed": lambda rng, size: np.where(_odd(size), rng.exponential(1, size) - 1, 0.2 * rng.standard_normal(size)),
    "of 360 images, many equal": lambda rng, size: np.round(330 + 0.7 * rng.standard_normal(size)) / 360,
    "of 540 images": lambda rng, size: np.round(500 + 3 * rng.standard_normal(size)) / 540,
}
PATTERNS = {  # true differences in standard deviations of a difference between two arms
    "two arms, 1 apart": (0, 1),
    "two arms, 0.5 apart": (0, 0.5),
    "four, one stands out by 1": (0, 0, 0, 1),
    "four, each 0.5 better": (0, 0.5, 1, 1.5),
    "four, each 1 better": (0, 1, 2, 3),
    "four, two hopeless, rivals 0.5 apart": (-2, -2, 0, 0.5),
    "eight, one stands out by 1": (0,) * 7 + (1,),
    "eight, each 0.5 better": tuple(0.5 * i for i in range(8)),
}


def t_values(differences):
    """Of the first 1, 2, ... values of the last axis: the mean by its standard error, 0 where all are equal."""
    n = np.arange(1, differences.shape[-1] + 1)
    mean = differences.cumsum(-1) / n
    squares = np.maximum((differences**2).cumsum(-1) / n - mean**2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean * np.sqrt((n - 1) / squares)
    return np.where(squares > 1e-12, t, 0.0)


def errors(kind, arms, studies, most, seed=0, block=BLOCK):
    """The shares of studies with equal arms in which any pair is told apart at any look, by three ways to look.

    Student's intervals after every block; the same once, and once more after as many seeds as the first look asks
    for; and the confidence sequence after every block. All at once for all pairs of arms, by Bonferroni.
    """
    values = KINDS[kind](np.random.default_rng(seed), (studies, arms, most))
    pairs = list(combinations(range(arms), 2))
    alpha = ALPHA / len(pairs)
    looks = np.arange(block, most + 1, block)
    ours = np.array([critical(int(n), alpha) for n in looks])
    student = -stdtrit(looks - 1, alpha / 2)
    wrong = np.zeros((3, studies), bool)
    for one, other in pairs:
        t = np.abs(t_values(values[:, one] - values[:, other]))
        at = t[:, looks - 1]
        asked = np.minimum(_asked(at[:, 0] / np.sqrt(block), block, alpha), most)
        again = np.take_along_axis(t, asked[:, None] - 1, 1)[:, 0]
        wrong |= np.stack(
            [
                (at > student).any(1),
                (at[:, 0] > student[0]) | (again > -stdtrit(asked - 1, alpha / 2)),
                (at > ours).any(1),
            ]
        )
    return tuple(wrong.mean(1))


def fixed_design(truth, studies, seed=0):
    """The least number of seeds with which the best is told from all rivals with a power of 80 %.

    By Student's intervals, for all rivals of the best at once. Whoever plans that knows the differences.
    """
    means, arms = np.array(truth), len(truth)
    test = np.random.default_rng(seed).standard_normal((studies, arms, 200)) / np.sqrt(2) + means[:, None]
    t = t_values(test[:, -1:] - test[:, :-1]).min(1)
    seeds = np.arange(1, t.shape[-1] + 1)
    enough = (t[:, 2:] > -stdtrit(seeds[2:] - 1, ALPHA / (arms - 1) / 2)).mean(0) >= POWER
    return int(seeds[2:][enough.argmax()])


def budget_for(truth, studies, seed=0):
    """The budget with which `hydra/sweeper=decide` has that power, with its mean runs."""
    for budget in range(2 * BLOCK, 400, BLOCK):
        runs, told = sequential(truth, studies, budget, seed)
        if told.mean() >= POWER:
            return budget, runs.mean()
    raise AssertionError("no budget is enough")


def sequential(truth, studies, budget, seed=0, luck=0.5):
    """Runs of each study, and whether the true best is told from all rivals, as `hydra/sweeper=decide` does it.

    Args:
        luck: the correlation of validation and test over seeds.
    """
    rng, arms = np.random.default_rng(seed), len(truth)
    test, rest = rng.standard_normal((2, studies, arms, budget)) / np.sqrt(2)
    means = np.array(truth)[:, None]
    val = means + luck * test + np.sqrt(1 - luck**2) * rest
    test += means
    looks = np.arange(BLOCK, budget + 1, BLOCK)
    limits = np.array([critical(int(n), 2 * ALPHA / (arms * (arms - 1))) for n in looks])
    score = val.cumsum(-1)[..., looks - 1] / looks
    told = np.abs(t_values(test[:, :, None] - test[:, None])[..., looks - 1]) > limits
    had, every = np.zeros((studies, arms), int), np.arange(studies)
    for look in range(1, len(looks)):
        seen = np.take_along_axis(score, had[..., None], 2)[..., 0]
        best = seen.argmax(1)
        shared = np.minimum(had[every, best][:, None], had)
        wanted = ~np.take_along_axis(told[every, best], shared[..., None], 2)[..., 0]
        wanted[every, best] = False
        wanted[every, best] = wanted.any(1)
        had = np.where(wanted, look, had)
    shared = np.minimum(had[:, -1:], had[:, :-1])
    return looks[had].sum(1), np.take_along_axis(told[:, -1, :-1], shared[..., None], 2).all((1, 2))


def _asked(effect, n, alpha):
    """For each measured effect the seeds with which Student's test finds it with a power of 80 %, from n on."""
    grid = np.arange(n, 201)
    least = np.array([_smallest(int(k), alpha) for k in grid])  # falls with the seeds
    return grid[np.minimum(np.searchsorted(-least, -np.maximum(effect, 1e-9)), len(grid) - 1)]


def _smallest(n, alpha):
    """The effect that n seeds find with a power of 80 %, nearly: by the quantiles of Student's t."""
    return float(-stdtrit(n - 1, alpha / 2) + stdtrit(n - 1, POWER)) / np.sqrt(n)


def _odd(size):
    return (np.arange(size[1]) % 2 == 1)[:, None]


def main(studies):
    print(f"| equal arms, 5 to {MOST} seeds | arms | Student's, every block | once, and once more | sequence |")
    print("|---|---|---|---|---|")
    for kind in KINDS:
        for arms in (2, 4, 8):
            shares = " | ".join(f"{100 * share:.1f}" for share in errors(kind, arms, studies, MOST))
            print(f"| {kind} | {arms} | {shares} |", flush=True)
    print(
        "\n| true differences | fixed: seeds, runs | sequential: budget, runs | by fixed | by fixed planned for 0.5 |"
    )
    print("|---|---|---|---|---|")
    for name, truth in PATTERNS.items():
        seeds, arms = fixed_design(truth, studies), len(truth)
        budget, runs = budget_for(truth, studies // 2)
        apart = tuple(0.5 * place for place in range(arms))
        planned, most = fixed_design(apart, studies), budget_for(apart, studies // 2)[0]
        unknown = sequential(truth, studies // 2, most)[0].mean() / (planned * arms)
        ratio = runs / (seeds * arms)
        print(f"| {name} | {seeds}, {seeds * arms} | {budget}, {runs:.0f} | {ratio:.2f} | {unknown:.2f} |", flush=True)
