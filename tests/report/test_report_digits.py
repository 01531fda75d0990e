"""Numbers keep the digits that mean something, in every form of the report."""

import re

import pytest

from regnet.report.columns import columns
from regnet.report.content import content
from regnet.report.digits import brief, concise, number, signed
from regnet.report.latex import latex
from regnet.report.page import html
from regnet.report.table import table
from regnet.run.record import find_runs
from tests.helpers.records import add_run, regression, study_in


@pytest.mark.parametrize(
    ("mean", "half_width", "most", "expected"),
    [
        (97.2222, 0.3456, 2, "97.22 ± 0.35"),
        (97.2222, 0.0123, 2, "97.22 ± 0.01"),
        (97.2222, 3.456, 2, "97.2 ± 3.5"),
        (57.2222, 34.56, None, "57 ± 35"),
        (54.1234, 0.4321, None, "54.12 ± 0.43"),
        (97.2222, 0.0, 2, "97.22 ± 0.00"),
        (97.2222, None, 2, "97.22"),
        (-0.001, None, 2, "0.00"),
        (0, None, None, "0.0000"),
        (0.0, 0.0, None, "0.0000 ± 0.0000"),
        (2e-5, None, None, "2.00e-5"),
        (2e-5, 3.1e-6, None, "2.00e-5 ± 0.31e-5"),
        (3.1e-6, 2e-5, None, "0.3e-5 ± 2.0e-5"),
        (0.001234, None, None, "0.001234"),
        (0.1234, 0.00123, None, "0.1234 ± 0.0012"),
        (0.12345678, 1e-6, None, "0.1234568 ± 0.0000010"),
        (1234.5, None, None, "1234.50"),
        (1234.5678, 0.021, None, "1234.568 ± 0.021"),
        (123456.7, None, None, "123457"),
        (1e30, None, None, "1.00e30"),
        (1e30, 2e29, None, "1.00e30 ± 0.20e30"),
        (-1e100, None, None, "-1.00e100"),
    ],
)
def test_digits_follow_the_interval_and_the_size(mean, half_width, most, expected):
    assert number(mean, half_width, most) == expected


@pytest.mark.parametrize("size", [10.0**power for power in range(-12, 40, 3)])
def test_no_number_is_lost_or_long(size):
    for value in (size, -1.2345 * size, 9.99999 * size):
        for text in (number(value), signed(value)):
            assert float(text) == pytest.approx(value, rel=6e-3)
            assert len(text) <= 10


def test_gains_have_a_sign():
    assert (signed(2e-7, 3e-7), signed(-2e-7), signed(0.5, None, 2)) == ("+2.0e-7 ± 3.0e-7", "-2.00e-7", "+0.50")


def test_few_decimals_show_small_and_large_numbers_too():
    shown = [brief(value, 3) for value in (0, 0.05, 0.0004, 1234.5, 2e7, -1e30)]
    assert shown == ["0.000", "0.050", "4.0e-4", "1234.500", "2.0e7", "-1.0e30"]


def test_a_sentence_has_no_more_digits_than_it_needs():
    shown = [concise(value) for value in (55, 0.51234, 1234.5, 2e-5, 0.0, -3.14159)]
    assert shown == ["55", "0.5123", "1234.5", "2e-5", "0", "-3.142"]


@pytest.mark.parametrize("size", [2e-5, 1234.5, 1e30])
def test_every_form_of_the_report_shows_a_metric_of_any_size(tmp_path, size):
    for seed in range(3):
        for regularizer, rmse in {"none": size, "l2": size * (0.9 - 0.01 * seed)}.items():
            add_run(tmp_path, [f"regularizer={regularizer}", f"seed={seed}"], regression(rmse))
    study = study_in(tmp_path)
    texts = [cell.text for key in ("validation", "test", "gain") for cell in columns(study)[key].cells if cell.text]
    assert all(float(text.split(" ")[0].rstrip("*")) != 0 for text in texts)
    assert all(len(text) < 22 for text in texts)
    assert "gain on test\nover ★" in [column.header for column in table(study, None, 80).columns]  # there is room
    page = html(content(list(find_runs(tmp_path))), [])
    cells = re.findall(r'data-value="([^"]+)">(?:<span class="whole">)?([^<]+)', page)
    assert all(float(value) == 0 or float(re.split("[ /*x]", text)[0]) != 0 for value, text in cells)
    if size != 1234.5:
        assert r"\cdot 10^{" in latex(study)
        assert not re.search(r"\de-?\d", latex(study))
