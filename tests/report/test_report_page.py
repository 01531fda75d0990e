import re
from html.parser import HTMLParser

import pytest

from regnet.errors import UserError
from regnet.report.publish import publish
from regnet.runs import find_runs
from tests.report.records import add_run, classification

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
    path = publish(list(find_runs(sweep)), sweep)
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


def test_a_single_run_has_a_page_without_figures(tmp_path):
    add_run(tmp_path, ["regularizer=l2"], classification(0.9))
    assert "<img" not in publish(list(find_runs(tmp_path)), tmp_path).read_text()


def test_a_place_that_cannot_be_written_is_one_sentence(sweep):
    file = sweep / "file"
    file.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        publish(list(find_runs(sweep)), file)
