import pytest

from regnet.core.spelling import short, spelled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-05", "1e-5"),
        ("0.00001", "1e-5"),
        ("1.0e-3", "1e-3"),
        ("0.0003", "3e-4"),
        ("0.01", "0.01"),
        ("1e-2", "0.01"),
        (".5", "0.5"),
        ("1.0", "1"),
        ("0.0", "0"),
        ("1e3", "1000"),
        ("-1E-05", "-1e-5"),
        ("0.0009201", "9.201e-4"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1e400", "inf"),
        ("[0.2,1e-05]", "[0.2,1e-5]"),
        ("[dropout, l2]", "[dropout,l2]"),
    ],
)
def test_a_number_has_one_spelling(text, expected):
    assert spelled(text) == expected
    assert spelled(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567890",
        "007",
        "early:0.1",
        "1e-05x",
        "true",
        "null",
        "",
        "[]",
        ".",
        "e5",
        "1_0.5",
        "/a/1e-05",
        "+",
    ],
)
def test_other_text_stays_as_it_is(text):
    assert spelled(text) == text


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(0.123456, 3, "0.123"), (12345.0, 17, "12345"), (1e-5, 3, "1e-5"), (float("nan"), 3, "nan"), (0.0, 3, "0")],
)
def test_significant_digits(value, digits, expected):
    assert short(value, digits) == expected
