"""A csv file through the commands: inspected, trained on, and evaluated on files that are written otherwise."""

import json
import logging
import random

import pytest

from regnet.commands.inspect import main as inspect_main
from regnet.data.module import _say
from tests.helpers.commands import call, evaluate, record, train

NET = ["model.widths=[4]", "trainer.max_epochs=1", "logger=none", "callbacks.last=null"]
NAMES = [  # of a column, and how a shell that has taken its own quotes away gives it to Hydra
    ("2", "2"),
    ("% fat", "% fat"),
    ("*star", "*star"),
    ("@id", "@id"),
    ("价格", "'价格'"),
    ("a=b", "'a=b'"),
    ("[br]", "'[br]'"),
    ("${x}", r"\${x}"),
    ("true", "true"),
    ("L" * 300, "L" * 300),
]


@pytest.fixture
def place(tmp_path):
    """Numbers and levels in a file of each name's classes, of which one is written as OmegaConf's own signs."""
    draw = random.Random(0)
    rows = [["num", "kind", *(name for name, _ in NAMES)]]
    for _ in range(60):
        number, kind = draw.random(), draw.choice(["[red]", "${y}", "???"])
        rows.append([f"{number:.3f}", kind, *(["???", "${x}", "=1+1"][int(3 * number)] for _ in NAMES)])
    (tmp_path / "names.csv").write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("name", "given"), NAMES)
def test_targets_of_any_name_and_classes_of_any_text(place, name, given):
    others = ",".join("'" + text.replace("${", r"\${") + "'" for text, _ in NAMES if text != name)
    done = train(
        "data=csv", "data.path=names.csv", f"data.target={given}", f"data.drop=[{others}]", "hydra.run.dir=run", *NET,
        cwd=place,
    )  # fmt: skip
    assert done.code == 0, done.out + done.err
    data = record(place / "run")["config"]["data"]
    assert data["classes"] == ["${x}", "=1+1", "???"]
    assert data["schema"]["columns"]["kind"]["levels"] == ["${y}", "???", "[red]"]
    assert list(data["schema"]["columns"]) == ["num", "kind"]
    done = evaluate("run=run", cwd=place)
    assert "equal to the record" in done.out, done.err
    done = evaluate(
        "run=run", "data=csv", "data.path=names.csv", f"data.target={given}", "part=all", "save=m.json", cwd=place
    )
    assert done.code == 0, done.err


def write(path, rows, sep=",", decimal=".", encoding="utf-8"):
    """A header and rows of size, colour, and a grade that follows from the size."""
    lines = [sep.join(str(cell).replace(".", decimal) for cell in row) for row in rows]
    path.write_bytes("\r\n".join(lines).encode(encoding))


def test_another_file_is_read_as_the_one_before(tmp_path):
    draw = random.Random(1)
    rows = [(round(draw.uniform(0, 9), 3), draw.choice(["rot", "grün"])) for _ in range(80)]
    graded = [(size, colour, "gut" if size > 4.5 else "schlecht") for size, colour in rows]
    write(tmp_path / "old.csv", [("size", "colour", "grade"), *graded])
    done = train("data=csv", "data.path=old.csv", "data.target=grade", "hydra.run.dir=run", *NET, cwd=tmp_path)
    assert done.code == 0, done.err
    other = [(grade, 7, colour, size) for size, colour, grade in graded]
    write(tmp_path / "new.csv", [("grade", "extra", "colour", "size"), *other], sep=";", decimal=",", encoding="cp1252")

    def metrics(name):
        arguments = ["run=run", "data=csv", f"data.path={name}", "data.target=grade", "part=all", "save=m.json"]
        done = evaluate(*arguments, cwd=tmp_path)
        assert done.code == 0, done.err
        return json.loads((tmp_path / "m.json").read_text()), done.out

    expected, _ = metrics("old.csv")
    found, out = metrics("new.csv")
    assert found == expected
    assert "warning: new.csv: the file is not UTF-8, and was read as cp1252" in out
    done = evaluate("run=run", "data.path=new.csv", cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "data.path=new.csv: no data is chosen; choose one as well: data=NAME, one of breast_cancer, " in done.err
    done = evaluate("run=run", "+data.path=new.csv", cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "must name a class by its _target_" in done.err
    strange = [("size", "colour", "grade"), ("?", "blau", "gut"), (1.5, "", "schlecht"), (8, "rot", "gut")]
    write(tmp_path / "strange.csv", strange)
    _, out = metrics("strange.csv")
    assert "column 'size' has 1 missing values, and had none in training" in out
    assert "column 'colour' has 1 rows of levels that the model does not know, such as 'blau'" in out


def test_inspect_tells_what_was_made_of_each_column(tmp_path):
    rows = "".join(f"{i};{i % 7},5;{['', 'x', 'y'][i % 3]};{i % 2}.0\n" for i in range(30))
    (tmp_path / "t.csv").write_text("id;a;b;y\n" + rows.replace(".0", ",0"))
    done = call(inspect_main, "regnet-inspect", ("data=csv", "data.path=t.csv", "data.target=y"), tmp_path)
    assert done.code == 0, done.err
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[0] == "t.csv: 30 rows, separator semicolon, decimal comma, utf-8"
    cells = {line.split("  ")[0]: line.split() for line in lines[3:7]}
    assert cells["id"] == ["id", "number", "0", "0,", "1,", "2"]
    assert cells["a"] == ["a", "number", "0", "0,5,", "1,5,", "2,5"]
    assert cells["b"] == ["b", "2", "levels:", "x,", "y", "10", "x,", "y"]
    assert cells["y"] == ["y", "target:", "2", "classes:", "0,", "1", "0", "0,0,", "1,0"]
    assert "warning: t.csv: column 'id' counts the rows; data.drop=[id] leaves it out" in lines


def test_a_study_is_warned_once(tmp_path):
    _say.cache_clear()
    (tmp_path / "t.csv").write_text("id,a,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(30)))
    done = train(
        "-m", "seed=0,1", "data=csv", "data.path=t.csv", "data.target=y", *NET, cwd=tmp_path
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (done.out + done.err).count("column 'id' counts the rows") == 1
    logging.shutdown()
