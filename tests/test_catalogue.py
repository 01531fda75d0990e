"""docs/catalogue.md says what the code does: it is what scripts/catalogue.py would write now."""

import importlib.util
import json
import re
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


def test_every_entry_says_what_it_is_for(catalogue):
    found = catalogue.entries()
    assert {entry.name for entry in found} | {"none"} == {
        path.stem for path in (ROOT / "conf/regularizer").glob("*.yaml")
    }
    for entry in found:
        assert entry.notes.keys() == {"Try", "Helps", "Not"}, entry.name
        formula, _ = catalogue.description(entry.target)
        assert len(formula) > 20, entry.name
        assert all(meaning for _, _, meaning in entry.knobs)


def test_a_cost_that_was_not_measured_may_be_missing(catalogue, tmp_path, monkeypatch):
    costs = json.loads(catalogue.COSTS.read_text())
    assert costs["entries"].pop("l2")
    (tmp_path / "costs.json").write_text(json.dumps(costs))
    monkeypatch.setattr(catalogue, "COSTS", tmp_path / "costs.json")
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##)", catalogue.page() + "##", re.DOTALL | re.MULTILINE))
    assert "- *Cost*: not measured\n" in sections["l2"]
    assert re.search(r"- \*Cost\*: \d\.\d\dx", sections["l1"])


def test_every_measured_cost_is_of_an_entry(catalogue):
    measured = json.loads(catalogue.COSTS.read_text())["entries"]
    assert measured.keys() <= {entry.name for entry in catalogue.entries()} | {"none"}


def test_the_schedules_in_the_page_are_those_of_the_code(catalogue):
    from regnet.regularizers.schedules import parse

    rows = catalogue.schedules()
    assert len(rows) > 5
    for row in rows:
        parse(row.split("`")[1])
