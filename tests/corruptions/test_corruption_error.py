"""Corruption errors by numbers computed by hand."""

import pytest

from regnet.corruptions import corruption_errors, mean_corruption_error, relative_mean_corruption_error

OURS = {"fog": [0.1, 0.2, 0.3], "snow": [0.2, 0.4, 0.9]}  # sums 0.6 and 1.5
BASE = {"snow": [0.5, 0.5, 1.0], "fog": [0.2, 0.4, 0.6]}  # sums 2 and 1.2


def test_errors_are_sums_over_severities_beside_the_other_network():
    assert corruption_errors(OURS, BASE) == pytest.approx({"fog": 0.5, "snow": 0.75})
    assert mean_corruption_error(OURS, BASE) == pytest.approx(0.625)
    assert mean_corruption_error(BASE, BASE) == pytest.approx(1)


def test_relative_errors_are_what_corruption_adds():
    # fog (0.6 - 0.15) / (1.2 - 0.3), snow (1.5 - 0.15) / (2 - 0.3)
    expected = (0.45 / 0.9 + 1.35 / 1.7) / 2
    assert relative_mean_corruption_error(OURS, 0.05, BASE, 0.1) == pytest.approx(expected)
    assert relative_mean_corruption_error(OURS, 0, BASE, 0) == pytest.approx(mean_corruption_error(OURS, BASE))


@pytest.mark.parametrize(
    ("errors", "baseline", "said"),
    [
        ({}, {}, "errors of the same kinds"),
        ({"fog": [0.1]}, {"snow": [0.1]}, "errors of the same kinds, got ['fog'] and ['snow']"),
        ({"fog": [0.1, 0.2]}, {"fog": [0.1]}, "fog has errors at 2 and 1 severities"),
        ({"fog": []}, {"fog": []}, "fog has errors at 0 and 0 severities"),
        ({"fog": [0.1]}, {"fog": [0.0]}, "fog gives the other network no error to compare with"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(errors, baseline, said):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as told:
        mean_corruption_error(errors, baseline)
    assert said in str(told.value)
