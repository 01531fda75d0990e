import pytest

from regnet.core.spelling import short


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(0.123456, 3, "0.123"), (12345.0, 17, "12345"), (1e-5, 3, "1e-5"), (float("nan"), 3, "nan"), (0.0, 3, "0")],
)
def test_significant_digits(value, digits, expected):
    assert short(value, digits) == expected
