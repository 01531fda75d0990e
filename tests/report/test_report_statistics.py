import math

import pytest
from scipy import stats

from regnet.report.statistics import mean_interval


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.91, 0.93, 0.9], [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]])
@pytest.mark.parametrize("level", [0.95, 0.68])
def test_the_interval_is_student_t(values, level):
    mean, half_width = mean_interval(values, level)
    low, high = stats.t.interval(level, len(values) - 1, loc=mean, scale=stats.sem(values))
    assert math.isclose(mean, sum(values) / len(values))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high), rel=1e-12)


def test_one_value_has_no_interval():
    assert mean_interval([0.5]) == (0.5, None)


def test_equal_values_have_an_interval_of_zero():
    assert mean_interval([0.1, 0.1, 0.1]) == (pytest.approx(0.1), 0.0)


def test_no_values_have_no_mean():
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])
