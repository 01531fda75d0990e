"""A config file of one's own that is none is told by its name, in one sentence, before anything is trained."""

import pytest

from regnet.compose.structure import check_form
from tests.helpers.commands import train

FILES = {
    "list": (b"- a\n- b\n", "must hold lines such as KEY: VALUE"),
    "text": (b"hello\n", "must hold lines such as KEY: VALUE"),
    "number": (b"3\n", "must hold lines such as KEY: VALUE"),
    "latin": ("# café\nx: 1\n".encode("latin-1"), "can't decode byte 0xe9"),
    "utf16": ("x: 1\n".encode("utf-16"), "a config file is text in UTF-8"),
    "open": (b"a: 1\nx: {a: [1\n", "is no YAML in line 3: did not find expected"),
    "tab": (b"x:\n\ta: 1\n", "is no YAML in line 2: found character"),
    "nul": (b"x: \x00\n", "is no YAML: "),
}


@pytest.mark.parametrize("choice", ["regularizer={}", "regularizer=[l2,{}]", "data={}", "experiment={}"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_config(tmp_path, name, choice):
    content, reason = FILES[name]
    group = choice.partition("=")[0]
    (tmp_path / "conf" / group).mkdir(parents=True)
    (tmp_path / "conf" / group / f"{name}.yaml").write_bytes(content)
    done = train("--config-dir=conf", choice.format(name), cwd=tmp_path)
    assert (done.code, done.err.count("\n"), done.out) == (1, 1, "")
    assert done.err.startswith(f"regnet-train: conf/{group}/{name}.yaml ")
    assert reason in done.err


def test_a_file_that_nothing_chooses_is_told_where_it_is_needed(tmp_path):
    (tmp_path / "conf" / "regularizer").mkdir(parents=True)
    (tmp_path / "conf" / "regularizer" / "broken.yaml").write_text("x: [1\n")
    done = train("--config-dir=conf", "++regularizer.zz.strength=1", cwd=tmp_path)
    assert done.code == 1
    assert "conf/regularizer/broken.yaml is no YAML in line 2" in done.err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "trainer:\n  max_epochs: 3\n",
            ": nothing reads or refers to experiment; begin its file with the line `# @pack",
        ),
        ("# @package _global_\ntrainr:\n  max_epochs: 3\n", "nothing reads or refers to trainr; did you mean trainer?"),
    ],
)
def test_what_nothing_reads_of_a_file_is_told(tmp_path, content, sentence):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(content)
    done = train("--config-dir=conf", "experiment=mine", cwd=tmp_path)
    assert done.code == 1
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_what_a_file_adds_may_be_referred_to(tmp_path, compose_train):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nwidth: 8\nmodel:\n  widths: ['${width}']\n"
    )
    check_form(compose_train(f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"))


def test_an_interval_of_a_grid(tmp_path):
    done = train("-m", "optimizer.lr=interval(1e-4,1e-2)", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert done.err.startswith(
        "regnet-train: optimizer.lr=interval(1e-4,1e-2): a grid has no intervals; hydra/sweeper="
    )
