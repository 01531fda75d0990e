"""Estimates against SciPy, statsmodels, definitions written here, and simulated truth."""

import warnings
from itertools import product

import numpy as np
import pytest
from scipy import stats

from regnet.report.estimate import CrossedEstimate, estimate, over, units_needed
from regnet.report.family import corrected, simultaneous

FIVE = [0.11, 0.21, 0.35, 0.3, 0.15]


def of(values, scale=1.0):
    return over(list(values), scale, "seeds")


def table(seeds, splits, variances=(1.0, 1.0), mean=0.0, seed=0):
    rng = np.random.default_rng(seed)
    ours, theirs = np.sqrt(variances)
    return (
        mean
        + ours * rng.standard_normal((seeds, 1))
        + theirs * rng.standard_normal((1, splits))
        + rng.standard_normal((seeds, splits))
    )


def cells(values):
    return dict(zip(np.ndindex(*values.shape), values.ravel().tolist(), strict=True))


@pytest.mark.parametrize("n", [3, 5, 20])
@pytest.mark.parametrize("level", [0.95, 0.68, 1 - 0.05 / 8])
def test_one_factor_is_students_interval_and_test(n, level):
    ours, theirs = np.random.default_rng(n).normal([[0.3], [0.0]], 1, (2, n))
    found, expected = of(ours - theirs), stats.ttest_rel(ours, theirs)
    assert found.interval(level) == pytest.approx(tuple(expected.confidence_interval(level)), rel=1e-9)
    assert found.p() == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.freedom == expected.df


@pytest.mark.parametrize("values", [[0.5], [0.25, 0.75], [0.25, 0.25]])
def test_one_or_two_values_say_nothing_of_their_mean(values):
    found = of(values)
    assert found.mean == sum(values) / len(values)
    assert found.interval() is found.p() is found.equivalent(1.0) is found.detectable() is found.needed() is None


def test_without_values_there_is_no_estimate():
    with pytest.raises(ValueError, match="at least one"):
        over([], 1.0, "seeds")
    with pytest.raises(ValueError, match="at least one"):
        estimate({}, 1.0)


def test_an_interval_wider_than_all_that_is_possible_is_none():
    found = of([0.2, 0.9, 0.7])  # s = 0.361 and t(2) = 4.303: 0.6 ± 0.896
    assert found.half_width() == pytest.approx(4.302653 * 0.360555 / 3**0.5, rel=1e-5)
    assert found.interval(span=1.0) is None
    assert found.interval(span=1.8) == found.interval()


@pytest.mark.parametrize("worse", [[300] * 5, [283, 311, 339, 350, 356], [350, 340, 330]])
def test_equal_counts_of_images_are_equal_differences_in_float32(worse):
    accuracy = np.array(worse, np.float32) / np.float32(360)
    better = (np.array(worse, np.float32) + np.float32(1)) / np.float32(360)
    differences = (better.astype(float) - accuracy.astype(float)).tolist()
    found = of(differences)
    flips = stats.permutation_test(([1] * len(worse),), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert found.p() == pytest.approx(flips.pvalue)
    assert found.interval() is found.equivalent(0.1) is found.detectable() is found.needed() is None
    assert of([-value for value in differences]).p() == found.p()


def test_no_difference_at_all_has_p_1_and_a_small_one_in_a_large_test_set_is_one():
    assert of([0.0, 1e-8, -1e-8]).p() == 1
    images = np.array([99_000, 99_001, 99_002]) / 100_000
    assert of(images - 0.99).interval() is not None
    assert of([2e-5, 3e-5, 4e-5], scale=3e-5).p() < 0.05  # rmse of small numbers


def test_equivalence_is_that_of_statsmodels():
    from statsmodels.stats.weightstats import ttost_paired

    rng = np.random.default_rng(0)
    for n, margin, level in product((3, 5, 12), (0.2, 0.8, 3.0), (0.95, 1 - 0.05 / 4)):
        ours, theirs = rng.normal(0, 0.5, (2, n))
        p = ttost_paired(ours, theirs, -margin, margin)[0]
        assert of(ours - theirs).equivalent(margin, level) == (p < 1 - level)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
@pytest.mark.parametrize("n", [4, 10, 30])
def test_the_detectable_difference_has_the_power_that_statsmodels_gives_it(n, alpha):
    from statsmodels.stats.power import TTestPower

    values = np.random.default_rng(n).normal(0, 2, n)
    effect = of(values).detectable(alpha) / values.std(ddof=1)
    assert TTestPower().power(effect, n, alpha) == pytest.approx(0.8, abs=1e-6)


# statsmodels 0.15, TTestPower().solve_power: 198.15, 33.37, 9.94, 4.22
@pytest.mark.parametrize(
    ("effect", "n"), [(0.2, 199), (0.5, 34), (1.0, 10), (-1.0, 10), (2.0, 5), (50, 3), (0.01, None), (0, None)]
)
def test_units_needed(effect, n):
    assert units_needed(effect) == n


def test_as_many_as_needed_find_the_measured_difference_and_no_fewer():
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.5, 1, 6)
        found = of(values).needed(0.05 / 3)
        effect = abs(values.mean() / values.std(ddof=1))
        for n, enough in ((found, True), (found - 1, False)):
            critical = stats.t.isf(0.05 / 6, n - 1)
            assert (stats.nct.sf(critical, n - 1, effect * n**0.5) >= 0.8) == enough


def test_the_error_of_seeds_and_splits_is_that_of_a_mixed_model():
    import statsmodels.formula.api as formulas
    from pandas import DataFrame

    values = table(6, 4, (1.0, 0.5), mean=0.7, seed=3)
    seeds, splits = np.indices(values.shape)
    data = DataFrame({"y": values.ravel(), "seed": seeds.ravel(), "split": splits.ravel(), "all": 1})
    parts = {"seed": "0 + C(seed)", "split": "0 + C(split)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its optimizer
        fitted = formulas.mixedlm("y ~ 1", data, groups="all", vc_formula=parts, re_formula="0").fit(reml=True)
    found = estimate(cells(values), 1.0)
    assert isinstance(found, CrossedEstimate)
    assert (fitted.vcomp > 0.01).all()
    assert found.mean == pytest.approx(fitted.params["Intercept"], abs=1e-6)
    assert found.error == pytest.approx(fitted.bse["Intercept"], rel=1e-3)


def test_mean_squares_are_those_of_the_analysis_of_variance():
    import statsmodels.formula.api as formulas
    from pandas import DataFrame
    from statsmodels.stats.anova import anova_lm

    values = table(5, 3, seed=1)
    seeds, splits = np.indices(values.shape)
    data = DataFrame({"y": values.ravel(), "seed": seeds.ravel(), "split": splits.ravel()})
    expected = anova_lm(formulas.ols("y ~ C(seed) + C(split)", data).fit())
    found = estimate(cells(values), 1.0)
    assert [square for square, _ in found.squares] == pytest.approx(expected["mean_sq"].tolist())
    assert [degrees for _, degrees in found.squares] == expected["df"].tolist() == [4, 2, 8]
    assert (found.n, found.unit, found.splits) == (15, "seeds × splits", 3)


@pytest.mark.parametrize("shape", [(3, 2), (5, 3), (5, 5), (10, 4)])
def test_interval_and_p_of_seeds_and_splits_agree(shape):
    for seed in range(20):
        found = estimate(cells(table(*shape, (seed % 3, seed % 4), mean=1.0, seed=seed)), 1.0)
        p = found.p()
        low, high = found.interval(1 - p)
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6 * found.error)
        low, high = found.interval()
        assert (p < 0.05) == (low > 0 or high < 0)
        wider = found.interval(0.99)
        assert wider[0] < low < high < wider[1]


def test_an_interval_of_seeds_and_splits_is_never_certain():
    values = np.array([[1.0, 2.0], [2.0, 1.0], [1.5, 1.5]]) / 360  # the means of seeds and of splits are equal
    found = estimate(cells(values), 1.0)
    assert found.interval()[1] - found.interval()[0] > 1 / 360
    assert 0 < found.p() < 1
    equal = estimate(cells(np.full((5, 3), 1 / 360)), 1.0)
    assert equal.interval() is None
    assert equal.p() == 0.25  # three splits agree


def test_what_is_over_seeds_and_what_over_splits():
    one_split = estimate({(seed, 0): value for seed, value in enumerate(FIVE)}, 1.0)
    assert (one_split.n, one_split.unit, one_split.splits) == (5, "seeds", 1)
    one_seed = estimate({(0, split): value for split, value in enumerate(FIVE)}, 1.0)
    assert (one_seed.n, one_seed.unit, one_seed.splits) == (5, "splits", 5)
    together = estimate({(place, place): value for place, value in enumerate(FIVE)}, 1.0)
    assert together == one_seed
    versions = estimate({(seed, 0, "1.2"): value for seed, value in enumerate(FIVE)}, 1.0)
    assert versions == one_split


def test_seeds_of_their_own_on_each_split_count_by_the_splits():
    values = {(10 * split + seed, split): 0.1 * split + 0.01 * seed for split in range(4) for seed in range(3)}
    found = estimate(values, 1.0)
    assert (found.n, found.unit, found.splits) == (4, "splits", 4)
    assert found.interval() == pytest.approx(of([0.01, 0.11, 0.21, 0.31]).interval())


def test_a_lost_run_leaves_the_complete_part_of_the_table():
    values = table(5, 3, seed=2)
    whole = cells(values)
    del whole[2, 1]
    assert estimate(whole, 1.0) == estimate(cells(np.delete(values, 2, 0)), 1.0)


def test_a_few_repeated_seeds_do_not_cost_the_rest():
    values = {(place, place): value for place, value in enumerate(FIVE)} | {(0, 1): 0.2}
    found = estimate(values, 1.0)
    assert (found.n, found.unit) == (5, "splits")
    assert found.mean == pytest.approx(np.mean([0.11, (0.21 + 0.2) / 2, 0.35, 0.3, 0.15]))


def test_two_splits_with_their_own_seeds_say_nothing():
    found = estimate({(seed, seed // 3): seed / 10 for seed in range(6)}, 1.0)
    assert (found.n, found.unit) == (2, "splits")
    assert found.interval() is found.p() is None


def test_more_of_both_seeds_and_splits_are_asked_for():
    few, more = (estimate(cells(table(6, 6, mean=mean, seed=4)), 1.0).needed() for mean in (4.0, 2.5))
    assert few < more
    assert estimate(cells(table(6, 6, mean=0.02, seed=4)), 1.0).needed(most=200) is None


def test_an_interval_of_a_family_excludes_0_where_its_corrected_p_says_so():
    for seed, m in product(range(30), (1, 3, 8)):
        found = of(np.random.default_rng(seed).normal(1, 1, 6))
        low, high = found.interval(simultaneous(m))
        assert (corrected(found.p(), m) < 0.05) == (low > 0 or high < 0)
    assert corrected(0.3, 8) == 1
    assert (simultaneous(0), corrected(0.3, 0)) == (0.95, 0.3)
