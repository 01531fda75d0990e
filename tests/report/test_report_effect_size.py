import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from regnet.report.effect_size import hedges_g, wins
from regnet.report.estimate import estimate, over


def of(values):
    return over(list(values), 1.0, "seeds")


def test_hedges_takes_the_bias_of_few_samples_out():
    samples = np.random.default_rng(0).normal(1.0, 1.0, (20000, 5))
    assert (samples.mean(1) / samples.std(1, ddof=1)).mean() > 1.2
    assert np.mean([hedges_g(of(sample))[0] for sample in samples[:4000]]) == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("level", [0.95, 1 - 0.05 / 8])
@pytest.mark.parametrize("values", [[0.1, 0.2, 0.35], [1.0, 2.0, 2.5, 1.5], [-0.3, 0.4, 0.5, -0.2, 0.1, 0.0]])
def test_its_interval_is_the_root_of_the_noncentral_t(values, level):
    n, t = len(values), stats.ttest_1samp(values, 0).statistic
    tails = ((1 + level) / 2, (1 - level) / 2)
    ends = [brentq(lambda shift, tail=tail: stats.nct.cdf(t, n - 1, shift) - tail, -5, 6 * t + 5) for tail in tails]
    assert hedges_g(of(values), level)[1:] == pytest.approx([end / n**0.5 for end in ends], rel=1e-5, abs=1e-6)
    _, low, high = hedges_g(of([-value for value in values]), level)
    assert (-high, -low) == pytest.approx(hedges_g(of(values), level)[1:], rel=1e-6, abs=1e-9)


def test_its_interval_holds_the_true_effect():
    samples = np.random.default_rng(1).normal(1.0, 1.0, (2000, 5))
    held = [low <= 1 <= high for _, low, high in (hedges_g(of(sample)) for sample in samples)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_differences_that_are_nearly_equal_have_a_large_effect_and_no_narrow_interval():
    nearly = (1 + np.array([0, 1e-5, 0, 2e-5, 1e-5])).tolist()
    effect, low, high = hedges_g(of(nearly))
    assert 0.2 * effect < low < effect < high < 3 * effect


def test_no_effect_size_of_two_of_equal_ones_nor_of_seeds_and_splits():
    assert hedges_g(of([0.1, 0.3])) is None
    assert hedges_g(of([0.1] * 3)) is None
    values = np.random.default_rng(0).normal(size=(4, 3))
    assert hedges_g(estimate(dict(zip(np.ndindex(4, 3), values.ravel().tolist(), strict=True)), 1.0)) is None


def test_wins_are_mann_whitneys_u():
    ours, theirs = [1, 2, 2, 5], [2, 2, 3]
    found = wins(ours, theirs)
    assert found.won == stats.mannwhitneyu(ours, theirs).statistic
    assert found.pairs == 12


def test_the_interval_of_wins_ends_where_newcombes_score_is_z():
    found, z = wins([1, 2, 2, 5], [2, 2, 3, 4, 0]), stats.norm.isf(0.025)
    m, n = 4, 5
    for theta in (found.low, found.high):
        # Hanley and McNeil's variance with (m + n)/2 − 1 in place of both m − 1 and n − 1
        q = theta / (2 - theta) - theta**2 + 2 * theta**2 / (1 + theta) - theta**2
        variance = (theta * (1 - theta) + ((m + n) / 2 - 1) * q) / (m * n)
        assert abs(found.won / found.pairs - theta) == pytest.approx(z * variance**0.5)


def test_all_won_is_not_certain_and_none_won_is_its_mirror():
    found, mirrored = wins([1] * 5, [0] * 5), wins([0] * 5, [1] * 5)
    assert (found.won, found.pairs, found.high) == (25, 25, 1)
    assert 0.6 < found.low < 0.7
    assert (mirrored.low, mirrored.high) == pytest.approx((0, 1 - found.low))
    assert wins([1, 1], [0, 0, 0]) is None
