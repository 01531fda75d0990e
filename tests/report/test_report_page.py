import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from regnet.core.errors import UserError
from regnet.report.content import content
from regnet.report.page import html
from regnet.report.publish import publish
from regnet.run.record import find_runs
from tests.helpers.records import KNOWN, add_run, classification, regression

VOID = {"meta", "img"}


class Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def sweep(tmp_path):
    for strength, accuracy in (("0", 0.9), ("1e-3", 0.95), ("1e-1", 0.8)):
        for seed in range(2):
            overrides = ["regularizer=l2", f"regularizer.l2.strength={strength}", f"seed={seed}"]
            folder = add_run(tmp_path, overrides, classification(accuracy + 0.01 * seed))
            rows = [f"{epoch},{1 / (epoch + 1)},{2 / (epoch + 1)},0.5" for epoch in range(3)]
            head = "epoch,train_eval/loss,val/loss,train/loss"
            (folder / "metrics.csv").write_text("\n".join([head, *rows]))
    return tmp_path


def test_the_page_is_one_well_formed_file_that_asks_no_host_and_escapes(sweep, tmp_path):
    add_run(sweep, ["regularizer=none", "seed=0"], None, "failed", reason="<script>alert(1)</script>")
    path = publish(content(list(find_runs(sweep))), sweep)
    text = path.read_text()
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r"https?:|@import|<link", text)
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)', text))
    names = {file.name for file in (sweep / "figures").iterdir()}
    assert {"sweep_strength.pdf", "sweep_strength.png", "curves_loss.pdf"} <= names
    assert not [file for file in sweep.rglob(".*") if "report" in file.name]


def test_the_answer_comes_first_and_each_arm_has_its_comparison():
    told = content(list(find_runs(KNOWN / "techniques")))
    page = html(told, [])
    assert "<h1>Study techniques</h1>" in page
    assert page.index("It gains 3.00 percentage points over none") < page.index("<table>")
    row = re.search(r"<tr[^>]*><td[^>]*>★ l2</td>.*", page)[0]
    assert re.findall(r">([^<>]+)</td>", row)[:7] == [
        "★ l2", "5/5", "93.0 ± 2.0", "93.0 ± 2.1", "+3.00 ± 0.31*", "+15.1 (+6.6 to +31.7)", "22/25 (50 to 98 %)"
    ]  # fmt: skip
    assert 'data-value="3"' in row  # by which scripts sort
    assert page.index("mixup_4: RuntimeError: out of memory") > page.index("Without a result")


def test_each_header_tells_its_meaning_where_it_is_pointed_at_and_at_the_foot_too():
    page = html(content(list(find_runs(KNOWN / "techniques"))), [])
    headers = re.findall(r'<th scope="col" class="\w+" title="([^"]+)">([^<]+)</th>', page)
    assert len(headers) == page.count("<th ") > 15
    foot = page.partition("<h2>What the numbers mean</h2>")[2].partition("</dl>")[0]
    arms = headers[: [name for _, name in headers].index("settings")]
    for meaning, name in arms:
        assert f"<dt>{' '.join(name.split())}</dt><dd>{meaning}</dd>" in foot
    for word in (
        "95 % interval",
        "corrected p",
        "decided",
        "margin",
        "could have shown",
        "more seeds",
        "on this split",
    ):
        assert f"<dt>{word}</dt>" in foot


def test_several_studies_have_their_headlines_above_all(tmp_path):
    for size in (100, 200):
        for name in ("none", "l2"):
            add_run(tmp_path, [f"regularizer={name}", f"data.train_size={size}"], classification(0.9))
    page = html(content(list(find_runs(tmp_path))), [])
    for size in (100, 200):
        headline = page.index(f"<p>data.train_size={size}: Best by validation: ")
        assert headline < page.index("<h2>data.train_size=100</h2>")


def test_what_is_no_longer_drawn_is_deleted_and_nothing_else(sweep):
    publish(content(list(find_runs(sweep))), sweep)
    mine = sweep / "figures" / "mine.png"
    mine.write_text("")
    assert (sweep / "figures" / "sweep_strength.pdf").exists()
    left = [run for run in find_runs(sweep) if "regularizer.l2.strength=0" in run.overrides]
    publish(content(left), sweep)
    assert not list((sweep / "figures").glob("sweep_strength.*"))
    assert mine.exists()


def test_an_earlier_page_outlives_a_write_that_fails(sweep, monkeypatch):
    page = publish(content(list(find_runs(sweep))), sweep)
    before = page.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match=r"report.html cannot be written \(No space left on device\): --out DIR"):
        publish(content(list(find_runs(sweep))), sweep)
    assert page.read_bytes() == before
    assert not list(sweep.glob(".report*"))


def test_a_single_run_has_a_page_without_figures(tmp_path):
    add_run(tmp_path, ["regularizer=l2"], classification(0.9))
    assert "<img" not in publish(content(list(find_runs(tmp_path))), tmp_path).read_text()


def test_a_place_that_cannot_be_written_is_one_sentence(sweep):
    file = sweep / "file"
    file.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        publish(content(list(find_runs(sweep))), file)


def test_a_small_rmse_is_more_than_zero(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], regression(0.001234))
    assert ">0.001234<" in html(content(list(find_runs(tmp_path))), [])


def test_a_number_is_not_broken_between_lines(tmp_path):
    for strength in ("1e-05", "3e-05"):
        add_run(tmp_path, ["regularizer=l2", f"regularizer.l2.strength={strength}"], classification(0.9))
    page = html(content(list(find_runs(tmp_path))), [])
    assert page.count('l2 <span class="whole">strength=1e-5</span>') >= 2  # in the answer and in the table
    assert "1e-05" not in page
    assert ".whole { white-space: nowrap; }" in page
