"""Records and files of a stranger: whatever they hold, the report ends with its table or one sentence."""

import copy
import csv
import json
import math
import os
import random
import re

import pytest

from regnet.core.console import printable
from regnet.report.command import main
from regnet.report.history import read
from regnet.run.record import find_runs, read_record
from tests.helpers.commands import report
from tests.helpers.records import add_run, classification, record

CSV = "epoch,step,train/loss,train/penalty/l2,train_eval/loss,val/loss,train_eval/accuracy,val/accuracy\n" + "".join(
    f"{i},{10 * i},{1 / (i + 1)},0.1,{1 / (i + 1)},{1 / (i + 1)},0.9,0.9\n" for i in range(4)
)
VALUES = [
    None, True, False, 0, -1, 7, 2**63, 10**18, -(10**400), 1e308, -1e308, 1e-320, 1e101, math.nan, math.inf, -math.inf,
    "", "x", "none", "=1+1", "\x1b[31mred\x1b]0;title\x07", "a\nb\r\tc", "\u202eabc", "[red]x[/red]", "[/]", ":bomb:",
    "$\\frac{x", "<script>alert(1)</script>", "\\input{/etc/passwd}", "\ud800", "价格", "a" * 5000, "${oc.env:HOME}",
    [], [[]], ["x"], [None], [1, [2, {"a": 3}]], {}, {"a": {}}, {"_target_": "os.system"}, {"loss": "x"}, {"": None},
]  # fmt: skip


def places(node, path=()):
    """Every place in a record that a value can be at, and one that it has not."""
    yield path
    if isinstance(node, dict):
        for key in [*node, "another"]:
            yield from places(node.get(key), (*path, key))
    elif isinstance(node, list):
        for i, item in enumerate(node):
            yield from places(item, (*path, i))


def put(node, path, value):
    if not path:
        return value
    node = copy.deepcopy(node)
    node[path[0]] = put(node[path[0]] if path[0] != "another" else None, path[1:], value)
    return node


GOOD = record(["regularizer=l2", "regularizer.l2.strength=0.1", "seed=0"], classification(0.9), device="cpu")
TEXTS = {
    "empty": "",
    "cut": json.dumps(GOOD)[:-20],
    "twice": '{"status": "completed", "status": "failed", "overrides": []}',
    "deep": '{"a":' * 100_000,
    "deep and whole": '{"status": "completed", "overrides": [], "config": ' + "[" * 500 + "]" * 500 + "}",
    "digits": json.dumps(GOOD).replace('"seed": 0', f'"seed": {"9" * 400}'),
    "more digits": json.dumps(GOOD).replace('"seed": 0', f'"seed": {"9" * 5000}'),
    "digits in its config": json.dumps(GOOD).replace('"batch_size": 128', f'"batch_size": {"9" * 400}'),
    "too large a float": json.dumps(GOOD).replace('"seconds": 4.0', '"seconds": 1e999'),
    "a list": "[]",
    "a number": "7",
    "a text": '"completed"',
    "two": json.dumps(GOOD) * 2,
    "comments": f"// made by hand\n{json.dumps(GOOD)}",
    "byte order mark": "\ufeff" + json.dumps(GOOD),
}


@pytest.fixture
def study(tmp_path):
    for name, score in (("none", 0.8), ("l2 ++regularizer.l2.strength=0.1", 0.9), ("l1", 0.7)):
        for seed in range(2):
            folder = add_run(
                tmp_path / "s", [f"regularizer={name}".split()[0], *name.split()[1:], f"seed={seed}"],
                classification(score + seed / 100),
            )  # fmt: skip
            (folder / "metrics.csv").write_text(CSV)
    (tmp_path / "s" / "6_bad").mkdir()
    (tmp_path / "s" / "6_bad" / "metrics.csv").write_text(CSV)
    return tmp_path / "s"


def printed(study, capsys, *arguments):
    """The report's exit code and what it printed, which holds nothing that a terminal would obey."""
    try:
        main([str(study), *arguments])
        code = 0
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert code in (0, 1)
    assert all(char == "\n" or printable(char) == char for char in out + err)
    assert "Traceback" not in out + err
    return code, out, err


MUTATIONS = [(path, value) for path in places(GOOD) for value in VALUES]
SAMPLE = random.Random(0).sample(MUTATIONS, 220)


def test_a_record_with_any_value_anywhere(study, capsys):
    """220 of some 1700 ways; the same ones each time."""
    damaged = 0
    for path, value in SAMPLE:
        text = json.dumps(put(GOOD, path, value))
        (study / "6_bad" / "record.json").write_text(text)
        code, out, _ = printed(study, capsys, "--no-page", "--csv", str(study / "x"), "--latex", str(study / "y"))
        assert code == 0, path
        assert "none" in out
        (run,) = (run for run in find_runs(study) if run.folder.name == "6_bad")
        assert ("6_bad" in out and "damaged" in out) or run.status != "damaged", (path, value)
        damaged += run.status == "damaged"
        safe_files(study)
    assert 40 < damaged < 180


def safe_files(study):
    with (study / "x").open(newline="", encoding="utf-8") as file:
        for cell in (cell for row in csv.reader(file) for cell in row):
            assert printable(cell) == cell
            assert not re.match(r"\s*[=@]", cell)
    latex = (study / "y").read_text(encoding="utf-8")
    assert "\\input" not in latex
    assert "\\frac{" not in latex


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_no_record_is_damaged_and_says_why(study, capsys, name):
    (study / "6_bad" / "record.json").write_text(TEXTS[name], encoding="utf-8")
    code, out, _ = printed(study, capsys, "--no-page")
    assert code == 0
    assert "Not in the means, of 7 runs: 1 damaged.\n  damaged  6_bad: " in out
    assert re.search(r"6_bad/record\.json (cannot be read: |is not a run record: )\S", out)


def test_a_file_that_is_none_is_damaged(study, capsys):
    path = study / "6_bad" / "record.json"
    for make in (lambda: os.mkfifo(path), lambda: path.write_bytes(b'{"status": "\xff\xfe"}'), big(path)):
        make()
        _, out, _ = printed(study, capsys, "--no-page")
        assert "1 damaged" in out
        path.unlink()
    path.mkdir()
    (study / "6_bad" / ".hydra").mkdir()
    (study / "6_bad" / ".hydra" / "config.yaml").write_text("seed:\ndata:\nmodel:\n")
    assert "1 damaged" in printed(study, capsys, "--no-page")[1]
    path.rmdir()
    for name in ("config.yaml", "overrides.yaml"):
        (study / "6_bad" / ".hydra" / name).unlink(missing_ok=True)
        os.mkfifo(study / "6_bad" / ".hydra" / name)
    assert printed(study, capsys, "--no-page")[0] == 0


def big(path):
    def make():
        with path.open("wb") as file:
            file.truncate(200_000_000)

    return make


@pytest.mark.parametrize("value", [1e308, 10**18 * 10**180, "x", [1], {"a": 1}, True, -1e101])
def test_a_number_that_none_can_be_is_damage(study, value):
    (study / "6_bad" / "record.json").write_text(json.dumps(put(GOOD, ("metrics", "val", "loss"), value)))
    (run,) = (run for run in find_runs(study) if run.folder.name == "6_bad")
    assert run.status == "damaged"
    assert "metrics must be names and numbers" in run.reason or "a number of" in run.reason


def test_a_large_number_is_none(study):
    """Of a run that all but diverged: its square can be computed."""
    kept = put(GOOD, ("metrics", "val", "loss"), 1e99)
    (study / "6_bad" / "record.json").write_text(json.dumps(kept))
    assert read_record(study / "6_bad") == kept


HISTORIES = [
    "",
    "\n",
    "epoch\n",
    "epoch,val/loss\n" * 3,
    "epoch,val/loss\n0,x\n",
    CSV[:-30],
    CSV.replace("0.9", "1e308"),
    CSV.replace("0.9", "nan"),
    CSV.replace("0.9", "inf"),
    CSV.replace("epoch", "="),
    CSV.replace("l2", "\x1b[31m$\\frac{"),
    CSV.replace("l2", "<script>"),
    CSV.replace("0.1", "9" * 5000),
    CSV.replace("\n", "\r"),
    "a" * 200_000 + "\n",
    '"' * 99,
    "\x00\n",
]


@pytest.mark.parametrize("text", HISTORIES, ids=range(len(HISTORIES)))
def test_any_history_is_columns_of_numbers(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    columns = read(tmp_path)
    assert all(printable(name) == name for name in columns)
    assert all(math.isnan(x) or abs(x) <= 1e100 for column in columns.values() for x in column)
    assert len({len(column) for column in columns.values()}) <= 1


def test_a_history_that_is_no_file_is_none(tmp_path):
    os.mkfifo(tmp_path / "metrics.csv")
    assert read(tmp_path) == {}


def test_a_page_of_any_history(study, capsys):
    for index, folder in enumerate(sorted(study.iterdir())):
        (folder / "metrics.csv").write_text([*HISTORIES[6:9], *HISTORIES[10:13]][index % 6])
    code, _, err = printed(study, capsys)
    assert (code, err) == (0, "")
    assert "<script>" not in (study / "report.html").read_text().partition("</main>")[0]


NASTY = "a<script>alert(1)</script>\x1b[31m[red]\u202e$x_$\\input{/etc/passwd}&\"'=1"


def test_every_text_of_a_stranger_is_only_text(study, capsys, tmp_path):
    """In all forms of a report."""
    for seed in range(2):
        overrides = [
            f"regularizer={NASTY}",
            f"model.{NASTY}={NASTY}",
            f"data.a={seed}",
            f"seed={seed}",
            "y==cmd()",
            "@z=1",
        ]
        metrics = classification(0.95) | {NASTY: 0.5}
        add_run(study, ["seed=9"], metrics).rename(study / f"=cmd()|\x1b[31m{seed}")
        bad = record(overrides, metrics, device=NASTY, started=NASTY)
        (study / f"=cmd()|\x1b[31m{seed}" / "record.json").write_text(json.dumps(bad))
    failed = record(["seed=3", "=1"], None, "failed", reason=NASTY)
    (study / "6_bad" / "record.json").write_text(json.dumps(failed))
    files = [f"--{kind}={tmp_path / kind}" for kind in ("csv", "svg", "latex")]
    code, out, err = printed(study, capsys, *files)
    assert (code, err) == (0, "")
    assert "[red]" in out
    page = (study / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in page
    for text in (page, (tmp_path / "svg").read_text()):
        assert "<script>alert" not in text
        assert "\x1b" not in text
    with (tmp_path / "csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "\t", "\r"))]
    assert {cell for cell in cells if cell[:1] == "'" and cell[1:2] in "=@+-"} == {"'=cmd()'", "'@z"}
    lines = (tmp_path / "latex").read_text(encoding="utf-8").splitlines()
    latex = "".join(line for line in lines if not line.startswith("%"))
    assert "\\input" not in latex.replace("\\textbackslash{}input", "")


def test_numbers_stay_numbers_in_the_csv_file(tmp_path):
    add_run(tmp_path / "s", ["optimizer.lr=-0.5", "+x=+1e3", "y=-a", "seed=0"], classification(0.9, gap=-0.5))
    assert report("s", "--csv", "runs.csv", "--no-page", cwd=tmp_path).code == 0
    with (tmp_path / "runs.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["optimizer.lr"], row["x"], row["y"], row["gap/accuracy"]) == ("-0.5", "1000", "'-a", "-0.5")


def test_a_report_does_not_write_through_links(study, capsys, tmp_path):
    """Which lie in the folder of a stranger."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    (study / "figures").symlink_to(mine)
    code, _, err = printed(study, capsys)
    assert (code, [path.name for path in mine.iterdir()]) == (1, ["file"])
    assert "figures is a link" in err
    (study / "figures").unlink()
    (study / "report.html").unlink(missing_ok=True)
    (study / "report.html").symlink_to(mine / "file")
    (study / f".report.html.{os.getpid()}").symlink_to(mine / "file")
    assert printed(study, capsys)[0] == 0
    assert (mine / "file").read_text() == "mine"
    assert not (study / "report.html").is_symlink()


@pytest.mark.parametrize("what", ["nothing", "empty", "a file", "damaged"])
def test_a_folder_that_tells_nothing_is_no_success(tmp_path, what):
    if what in ("empty", "damaged"):
        (tmp_path / "s" / "run").mkdir(parents=True)
    if what == "damaged":
        (tmp_path / "s" / "run" / "record.json").write_text("{")
    if what == "a file":
        (tmp_path / "s").touch()
    done = report("s", cwd=tmp_path)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert not (tmp_path / "s" / "report.html").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[dropout,l2] 价格 ★ é", None),
        ("a\x1b[31mb\x07", r"a\x1b[31mb\x07"),
        ("a\nb\tc\u2028d\xa0e", "a b c d e"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("\udcff", r"\udcff"),
        ("می\u200cخواهم", None),
        ("\x9b31m", r"\x9b31m"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == (text if shown is None else shown)
