import numpy as np
import pytest
from scipy import stats

from regnet.report.statistics import control_p, friedman_p, holm, ranks


def test_holm_is_that_of_statsmodels_and_its_definition():
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).random(9) ** 3
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1].tolist())
    for alpha in (0.01, 0.05, 0.2, 0.5):
        rejected = 0  # step down until the first that fails
        while rejected < 9 and np.sort(p)[rejected] <= alpha / (9 - rejected):
            rejected += 1
        assert sum(corrected <= alpha for corrected in holm(p.tolist())) == rejected
    assert holm([]) == []


def test_ranks_and_friedman_are_those_of_scipy():
    table = np.random.default_rng(0).normal(size=(6, 4)).round(1)
    assert ranks(table[0].tolist()) == stats.rankdata(table[0]).tolist()
    assert friedman_p(table.tolist()) == pytest.approx(stats.friedmanchisquare(*table.T).pvalue)
    assert friedman_p([[1, 1], [2, 2]]) == 1


def test_ranks_against_a_control_are_demsars_example():
    # The paper's own: C4.5 and three variants of it on 14 data sets, C4.5 the control
    means = [2.000, 2.893, 1.964]
    error = np.sqrt(4 * 5 / (6 * 14))
    p = [2 * stats.norm.sf(abs(mean - 3.143) / error) for mean in means]
    assert error == pytest.approx(0.488, abs=5e-4)  # in the paper's text
    assert control_p(means, 3.143, 14) == pytest.approx(holm(p))
    # z = 2.416, 2.342 and 0.512: both smaller p are below Holm's limits 0.05 / 3 and 0.05 / 2
    assert [found < 0.05 for found in control_p(means, 3.143, 14)] == [True, False, True]


def test_ranks_of_equal_arms_are_called_different_from_the_control_in_5_percent():
    rng, false = np.random.default_rng(0), 0
    for _ in range(2000):
        table = [ranks(row) for row in rng.normal(size=(10, 4)).tolist()]
        means = np.mean(table, 0).tolist()
        false += min(control_p(means[1:], means[0], 10)) < 0.05
    assert false / 2000 < 0.05 + 0.015
