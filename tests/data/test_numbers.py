"""Texts as numbers: what a comma, a point, a blank and a unit mean."""

import pytest

from regnet.data.numbers import bare, find_decimal, number, unit


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("0.52", ".", 0.52),
        ("0,52", ",", 0.52),
        ("0,52", ".", None),
        ("0.52", ",", None),
        ("1,234", ".", 1234),
        ("1,234", ",", 1.234),
        ("1.234,5", ",", 1234.5),
        ("1,234,567.8", ".", 1234567.8),
        ("1 234,5", ",", 1234.5),
        ("1'234.5", ".", 1234.5),
        ("1,23,4", ".", None),
        ("-.5e-3", ".", -0.0005),
        ("5.", ".", 5.0),
        ("+7", ".", 7),
        ("\u22125,5", ",", -5.5),
        ("12%", ".", 12),
        ("12,5 %", ",", 12.5),
        ("$1,200", ".", 1200),
        ("-$5", ".", -5),
        ("3 €", ",", 3),
        ("9007199254740993", ".", 9007199254740993),
        ("1e400", ".", float("inf")),
        ("-inf", ".", float("-inf")),
        *((text, ".", None) for text in ("", "?", "nan", "0x1A", "1_000", "12-05", "1.2.3", "one", "5 6", "--5", "%")),
    ],
)
def test_a_text_as_a_number(text, decimal, value):
    assert number(text, decimal) == value
    assert type(number(text, decimal)) is type(value)


def test_units():
    assert [unit(text) for text in ("5%", "$5", "5")] == ["%", "$", ""]
    assert [bare(text) for text in ("5 %", "-$ 5", "5")] == ["5", "-5", "5"]


@pytest.mark.parametrize(
    ("columns", "sign"),
    [
        ([["1", "2"]], "."),
        ([["0,5"], ["7", "8"]], ","),
        ([["0.5"]], "."),
        ([["1,234"], ["0.5"]], "."),  # thousands
        ([["1,234"], ["0,5"]], ","),
        ([["1.234"], ["0,5"]], ","),  # thousands
        ([["1.234"]], "."),
        ([["1,234,567"]], "."),
        ([["1.234.567"]], ","),
        ([["0,5"], ["a", "b", "1.5"]], ","),  # a column of texts shows nothing
    ],
)
def test_the_decimal_sign_is_that_of_the_file(columns, sign):
    assert find_decimal(columns) == sign


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ([["0,5"], ["0.5"]], "^'0,5' has a decimal comma and '0.5' a decimal point$"),
        ([["1,234", "5"]], "^'1,234' may have a decimal comma or a comma between thousands$"),
    ],
)
def test_where_a_person_must_say_it(columns, sentence):
    with pytest.raises(ValueError, match=sentence):
        find_decimal(columns)
