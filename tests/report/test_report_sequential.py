"""Intervals that hold at any number of looks: their formula, and what they promise, by simulation."""

from itertools import product
from math import exp, isinf, sqrt

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import nct, norm, t

from regnet.report.answer import answer
from regnet.report.compare import compare, find_baseline
from regnet.report.estimate import CrossedEstimate, estimate, over
from regnet.report.sentences import sentences
from regnet.report.sequential import PRIOR, anytime, critical, log_bayes_factor
from scripts.simulations.sequential import KINDS, budget_for, errors, fixed_design, sequential
from tests.helpers.records import add_run, classification, study_in

LEVELS = (0.9, 0.95, 1 - 0.05 / 6, 1 - 0.05 / 28)


def seeds(values):
    return anytime(over(values, 1.0, "seeds"))


@pytest.mark.parametrize(("n", "value"), list(product((4, 8, 30), (0.0, 0.7, 2.5, 6.0))))
def test_the_bayes_factor_is_that_of_the_noncentral_t(n, value):
    """The mean of the density of t over effects from the prior, by its density without an effect."""

    def density(effect):
        return nct.pdf(value, n - 1, effect * sqrt(n)) * norm.pdf(effect, scale=sqrt(PRIOR))

    mixed, _ = quad(density, -7, 7, limit=400, epsabs=1e-13)
    assert exp(log_bayes_factor(value, n)) == pytest.approx(mixed / t.pdf(value, n - 1), rel=1e-5)


@pytest.mark.parametrize(("n", "level"), list(product((8, 12, 40, 300), LEVELS)))
def test_the_limit_is_where_the_bayes_factor_is_one_by_alpha(n, level):
    limit = critical(n, 1 - level)
    if not isinf(limit):
        assert exp(log_bayes_factor(limit, n)) == pytest.approx(1 / (1 - level))
        assert limit > t.ppf((1 + level) / 2, n - 1)  # looking often has its price
    else:
        assert log_bayes_factor(1e9, n) < -np.log(1 - level)


def test_the_interval_excludes_zero_exactly_where_p_is_small():
    values = [0.02, 0.01, 0.04, 0.03, 0.01, 0.02, 0.05, 0.02, 0.03, 0.01]
    found = seeds(values)
    p = found.p()
    low, high = found.interval(1 - p)
    assert low == pytest.approx(0, abs=1e-12)
    assert high == pytest.approx(2 * found.mean)
    assert found.interval(1 - 1.01 * p)[0] > 0 > found.interval(1 - 0.99 * p)[0]
    assert p > over(values, 1.0, "seeds").p()


def test_too_few_seeds_say_nothing_whatever_they_are():
    assert isinf(critical(4, 0.05))
    apart = seeds([0.50, 0.51, 0.52, 0.51])
    assert apart.interval() is apart.half_width() is apart.detectable() is apart.equivalent(0.9, 0.99) is None
    assert 0.05 < apart.p() < 1
    assert seeds([0.50, 0.51, 0.52, 0.51, 0.50, 0.51]).interval()[0] > 0


@pytest.mark.parametrize("value", [0.0, 1 / 360])
def test_equal_differences_decide_nothing(value):
    found = seeds([value] * 30)
    assert not found.known
    assert found.interval() is found.equivalent(0.1) is found.needed() is None


def test_seeds_and_splits_that_cross_have_no_such_interval():
    rng = np.random.default_rng(0)
    crossed = estimate({(seed, split): rng.normal() for seed in range(4) for split in range(4)}, 1.0)
    assert isinstance(crossed, CrossedEstimate)
    assert crossed.interval() is not None
    assert anytime(crossed).interval() is None


def test_how_many_seeds_decide_is_what_is_found_with_them():
    """80 % of studies of the effect 0.8 are decided with so many seeds, looking once."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal(25)
    found = seeds((0.8 + (values - values.mean()) / values.std(ddof=1)).tolist())
    needed = found.needed(0.05)
    studies = 0.8 + rng.standard_normal((20_000, needed))
    decided = np.abs(studies.mean(1)) / studies.std(1, ddof=1) * sqrt(needed) > critical(needed, 0.05)
    assert 0.79 < decided.mean() < 0.84
    assert seeds(values.tolist()).needed(most=20) is None
    least = found.detectable(0.05)
    assert 1 - nct.cdf(critical(25, 0.05), 24, least / found.error) == pytest.approx(0.8, abs=1e-3)


def made_up(folder, gains, looks, count=14):
    """A study of `none` and one arm for each of the gains on test, over so many seeds."""
    arms = {"none": 0.0} | gains
    noise = np.random.default_rng(0).normal(0, 0.004, (len(arms), count))
    for row, (name, gain) in zip(noise, arms.items(), strict=True):
        for seed, luck in enumerate(row):
            overrides = [f"regularizer={name}", f"seed={seed}", f"report.anytime={looks}"]
            add_run(folder, overrides, classification(0.9 + gain, 0.88 + gain + luck))
    return study_in(folder)


def test_a_study_that_was_looked_at_is_answered_for_all_pairs_at_any_number_of_looks(tmp_path):
    gains = {"l1": 0.001, "l2": 0.002, "dropout": 0.02}
    once, often = (made_up(tmp_path / looks, gains, looks) for looks in ("false", "true"))
    baseline = find_baseline(often)
    fixed, found = (
        next(pair for pair in compare(study, find_baseline(study)) if pair.arm.label == "dropout")
        for study in (once, often)
    )
    assert (fixed.family, found.family) == (3, 6)
    assert found.interval[0] < fixed.interval[0] < fixed.interval[1] < found.interval[1]
    half = critical(14, 0.05 / 6) * found.gain.error
    assert found.interval == pytest.approx((found.gain.mean - half, found.gain.mean + half))
    told = " ".join(sentences(answer(often, baseline)))
    assert "95 % interval for 6 comparisons at once at any number of looks" in told
    assert "decided after 14 seeds" in told
    assert "at any number of looks" not in " ".join(sentences(answer(once, find_baseline(once))))


def test_the_family_is_that_of_all_arms_also_where_few_are_compared(tmp_path):
    study = made_up(tmp_path, {"l1": 0.0, "l2": 0.01}, "true", 8)
    few = study.tuned(study.arms[0])
    assert {pair.family for pair in compare(few, few.arms[0])} == {3}


def test_equal_arms_are_seldom_told_apart():
    """800 studies of four arms; what 5 % would give by chance, with three standard errors."""
    student, again, ours = errors("normal", 4, 800, 40)
    assert ours < 0.05 < again < student


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "arms"), list(product([kind for kind in KINDS if kind != "skewed"], (2, 4, 8))))
def test_the_error_of_all_looks_stays_below_five_percent(kind, arms):
    student, _, ours = errors(kind, arms, 2000, 100)
    assert ours < 0.05 < student


@pytest.mark.slow
def test_strongly_skewed_differences_are_the_exception_but_far_fewer_than_with_students_intervals():
    student, again, ours = errors("skewed", 4, 2000, 40)
    assert 0.05 < ours < 0.09
    assert again > 2 * ours
    assert student > 3 * ours


@pytest.mark.slow
def test_seeds_spent_beside_a_fixed_design_of_equal_power():
    """Half where arms are many and lie apart; more where all differences are small or the difference was known."""
    eight, close = tuple(0.5 * place for place in range(8)), (0, 1)
    ratios = {}
    for truth in (eight, close):
        budget, runs = budget_for(truth, 500)
        assert sequential(truth, 500, budget, seed=7)[1].mean() > 0.75  # of other studies too
        ratios[truth] = runs / (len(truth) * fixed_design(truth, 1000))
    assert ratios[eight] < 0.6
    assert 1.2 < ratios[close] < 1.7
    planned = 4 * fixed_design((0, 0.5, 1, 1.5), 1000)
    assert sequential((0, 1, 2, 3), 500, budget_for((0, 0.5, 1, 1.5), 500)[0])[0].mean() < 0.5 * planned
