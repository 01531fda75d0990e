"""What the planned runs can tell, held against simulated studies and made-up records."""

import math

import numpy as np
import pytest
from scipy import stats

from regnet.core.errors import UserError
from regnet.planning.power import detectable, spread
from tests.helpers.records import add_run, classification


def pairs(seeds, splits=1):
    return {(seed, split) for seed in range(seeds) for split in range(splits)}


@pytest.mark.parametrize(("seeds", "family"), [(3, 1), (5, 7), (20, 3)])
def test_the_planned_seeds_find_it_in_four_of_five_studies(rng, seeds, family):
    least = detectable(pairs(seeds), family)
    gains = rng.normal(least, 1, (40_000, seeds))
    found = stats.ttest_1samp(gains, 0, axis=1).pvalue < 0.05 / family
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_seeds_and_splits_count_as_the_fewer_of_both():
    assert detectable(pairs(5, 4), 2) == pytest.approx(detectable(pairs(4), 2))
    assert detectable(pairs(1, 6), 2) == pytest.approx(detectable(pairs(6), 2))
    # the worst case: all the differences are those of splits, and seeds repeat them
    least, rng = detectable(pairs(4, 3), 1), np.random.default_rng(1)
    means = rng.normal(least, 1, (40_000, 3))
    assert (stats.ttest_1samp(means, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.01)


def test_fewer_than_three_pairs_tell_nothing():
    assert detectable(pairs(1), 1) is None
    assert detectable(pairs(2), 1) is None
    assert detectable(pairs(3), 1) is not None


def test_the_spread_is_that_of_the_paired_differences(tmp_path):
    luck, differences = [0.0, 0.02, -0.03, 0.01], {"l1": [0, 1, 2, 3], "l2": [0, 4, 0, 4], "dropout": [1, 2, 1, 2]}
    for name, gains in {"none": [0] * 4, **differences}.items():
        for seed, (gain, shared) in enumerate(zip(gains, luck, strict=True)):
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(0.9, 0.9 + shared + gain / 1000))
    (found,) = spread(str(tmp_path))
    expected = sorted(np.std(gains, ddof=1) / 1000 for gains in differences.values())[1]
    assert (found.metric, found.arms) == ("accuracy", 3)
    assert found.deviation == pytest.approx(expected, rel=1e-4)
    assert found.value(2) == f"{200 * expected:.2g} points of accuracy"


def test_a_study_without_pairs_tells_no_spread(tmp_path):
    for name in ("none", "l2"):
        add_run(tmp_path, [f"regularizer={name}", "seed=0"], classification(0.9))
    with pytest.raises(UserError, match=r"from=.* tells no spread: .*3 seeds"):
        spread(str(tmp_path))


def test_power_rises_with_seeds_and_falls_with_comparisons():
    values = [detectable(pairs(n), 3) for n in range(3, 30)]
    assert values == sorted(values, reverse=True)
    assert detectable(pairs(5), 10) > detectable(pairs(5), 1)
    assert all(map(math.isfinite, values))
