import math

import numpy as np
import pytest
from scipy import stats

from regnet.report.statistics import (
    critical_difference,
    friedman_p,
    hedges_g,
    holm,
    mean_interval,
    paired_p,
    probability_of_improvement,
    ranks,
    seeds_needed,
)
from tests.helpers.coverage import coverage


@pytest.mark.parametrize("values", [[1.0, 2.0, 2.5], [0.91, 0.93, 0.9], [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]])
@pytest.mark.parametrize("level", [0.95, 0.68])
def test_the_interval_is_student_t(values, level):
    mean, half_width = mean_interval(values, level)
    low, high = stats.t.interval(level, len(values) - 1, loc=mean, scale=stats.sem(values))
    assert math.isclose(mean, sum(values) / len(values))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high), rel=1e-12)


def test_one_or_two_values_have_no_interval():
    assert mean_interval([0.5]) == (0.5, None)
    assert mean_interval([0.25, 0.75]) == (0.5, None)


def test_an_interval_wider_than_all_that_is_possible_is_none():
    values = [0.2, 0.9, 0.7]  # s = 0.361 and t(2) = 4.303: 0.6 ± 0.896
    assert mean_interval(values)[1] == pytest.approx(4.302653 * 0.360555 / 3**0.5, rel=1e-5)
    assert mean_interval(values, span=1.0) == (pytest.approx(0.6), None)
    assert mean_interval(values, span=1.8)[1] == mean_interval(values)[1]


def test_equal_values_have_an_interval_of_zero():
    assert mean_interval([0.1, 0.1, 0.1]) == (pytest.approx(0.1), 0.0)


def test_no_values_have_no_mean():
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_paired_test_is_that_of_scipy(n):
    ours, theirs = np.random.default_rng(n).normal([[0.3], [0.0]], 1, (2, n))
    assert paired_p((ours - theirs).tolist()) == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, rel=1e-9)


def test_equal_differences_count_by_their_signs_alone():
    equal = [0.9 - 0.8, 0.95 - 0.85, 0.3 - 0.2]  # 0.1, to rounding
    flips = stats.permutation_test((equal,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert paired_p(equal) == pytest.approx(flips) == 0.25
    assert paired_p([0.0, 0.0]) == 1
    assert paired_p([0.1]) is None


def test_holm_by_a_worked_example_and_by_its_definition():
    # statsmodels 0.15 multipletests(method="holm") gives the same
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p = np.random.default_rng(0).random(9) ** 3
    for alpha in (0.01, 0.05, 0.2, 0.5):
        rejected = 0  # step down until the first that fails
        while rejected < 9 and np.sort(p)[rejected] <= alpha / (9 - rejected):
            rejected += 1
        assert sum(corrected <= alpha for corrected in holm(p.tolist())) == rejected
    assert holm([]) == []


def test_hedges_takes_the_bias_of_few_samples_out():
    samples = np.random.default_rng(0).normal(1.0, 1.0, (20000, 5))
    cohen = (samples.mean(1) / samples.std(1, ddof=1)).mean()
    assert cohen > 1.2
    assert np.mean([hedges_g(sample.tolist()) for sample in samples]) == pytest.approx(1.0, abs=0.02)
    assert hedges_g([0.1, 0.3]) is None
    assert hedges_g([0.1] * 3) is None


def test_probability_of_improvement_is_mann_whitneys():
    ours, theirs = [1, 2, 2, 5], [2, 2, 3]
    assert probability_of_improvement(ours, theirs) == pytest.approx(stats.mannwhitneyu(ours, theirs).statistic / 12)


# statsmodels 0.15, TTestPower().solve_power: 198.15, 33.37, 9.94, 4.22
@pytest.mark.parametrize(
    ("effect", "n"), [(0.2, 199), (0.5, 34), (1.0, 10), (-1.0, 10), (2.0, 5), (50, 2), (0.01, None)]
)
def test_seeds_needed(effect, n):
    assert seeds_needed(effect) == n


def test_with_the_seeds_needed_the_test_finds_the_effect_four_times_in_five():
    samples = np.random.default_rng(0).normal(1.0, 1.0, (4000, seeds_needed(1.0)))
    assert (stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.03)


def test_ranks_and_friedman_are_those_of_scipy():
    table = np.random.default_rng(0).normal(size=(6, 4)).round(1)
    assert ranks(table[0].tolist()) == stats.rankdata(table[0]).tolist()
    assert friedman_p(table.tolist()) == pytest.approx(stats.friedmanchisquare(*table.T).pvalue)
    assert friedman_p([[1, 1], [2, 2]]) == 1


def test_the_critical_difference_is_demsars():
    assert critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=1e-3)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_students_interval_covers_and_the_percentile_bootstrap_does_not(n):
    shares = coverage("normal", n, samples=500)
    assert shares["student"] == pytest.approx(0.95, abs=0.03)
    assert shares["percentile"] < 0.93


@pytest.mark.parametrize("kind", ["normal", "t3", "counts"])
def test_one_false_difference_in_a_family_is_as_rare_as_promised(kind):
    rng = np.random.default_rng(0)
    draw = {
        "normal": lambda shape: rng.standard_normal(shape),
        "t3": lambda shape: rng.standard_t(3, shape),
        "counts": lambda shape: np.round(2 * rng.standard_normal(shape)),
    }[kind]
    false = 0
    for _ in range(1500):
        scores = draw((9, 5))  # eight arms and their baseline, nothing between them, five seeds
        false += min(holm([paired_p((arm - scores[0]).tolist()) for arm in scores[1:]])) < 0.05
    assert false / 1500 < 0.05 + 0.012
