"""docs/catalogue.md says what the code does: it is what scripts/catalogue.py would write now."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def catalogue():
    spec = importlib.util.spec_from_file_location("catalogue", ROOT / "scripts" / "catalogue.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_code(catalogue):
    assert catalogue.PAGE.read_text() == catalogue.page(), "out of date: python scripts/catalogue.py"


def test_every_entry_says_what_it_is_for_and_what_it_costs(catalogue):
    measured = json.loads(catalogue.COSTS.read_text())["entries"]
    found = catalogue.entries()
    assert {entry.name for entry in found} | {"none"} == {
        path.stem for path in (ROOT / "conf/regularizer").glob("*.yaml")
    }
    for entry in found:
        assert entry.notes.keys() == {"Try", "Helps", "Not"}, entry.name
        assert entry.name in measured, f"python scripts/benchmark.py cost --only {entry.name} --save docs/costs.json"
        formula, _ = catalogue.description(entry.target)
        assert len(formula) > 20, entry.name
        assert all(meaning for _, _, meaning in entry.knobs)


def test_the_schedules_in_the_page_are_those_of_the_code(catalogue):
    from regnet.regularizers.schedules import parse

    rows = catalogue.schedules()
    assert len(rows) > 5
    for row in rows:
        parse(row.split("`")[1])
