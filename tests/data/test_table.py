import json

import pytest
import torch

from regnet.core.errors import UserError
from regnet.data.table import Csv, Sklearn

PEOPLE = """age,colour,member,grade
30,red,true,good
,blue,false,bad
50,,true,good
40.5,red,false,bad
"""


def write(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_columns_levels_and_missing_values(tmp_path):
    data = Csv(write(tmp_path, PEOPLE), "grade").load()
    assert data.features == (
        *("age", "age=missing", "colour=blue", "colour=red", "colour=missing"),
        *("member=false", "member=true"),
    )
    assert data.classes == ("bad", "good")
    assert data.samples.y.tolist() == [1, 0, 1, 0]
    nan = -1.0
    assert data.samples.x.nan_to_num(nan).tolist() == [
        [30.0, 0, 0, 1, 0, 0, 1],
        [nan, 1, 1, 0, 0, 1, 0],
        [50.0, 0, 0, 0, 1, 0, 1],
        [40.5, 0, 0, 1, 0, 1, 0],
    ]
    assert data.samples.x[1, 0].isnan()
    assert data.samples.x.dtype == torch.float32


def test_another_file_is_read_into_the_same_columns(tmp_path):
    schema = json.loads(json.dumps(Csv(write(tmp_path, PEOPLE), "grade").load().schema))
    other = "grade,extra,member,colour,age\ngood,1,false,green,7\nbad,2,,red,\n"
    data = Csv(write(tmp_path, other, "other.csv"), "grade", schema=schema).load()
    assert data.schema == schema
    assert data.features == Csv(write(tmp_path, PEOPLE), "grade").load().features
    assert data.samples.y.tolist() == [1, 0]
    assert data.samples.x.nan_to_num(-1).tolist() == [[7, 0, 0, 0, 0, 1, 0], [-1, 1, 0, 1, 0, 0, 0]]


def test_the_same_file_is_read_the_same_through_its_schema(tmp_path):
    path = write(tmp_path, PEOPLE)
    first = Csv(path, "grade").load()
    again = Csv(path, "grade", schema=first.schema).load()
    assert again.samples.x.nan_to_num(-1).equal(first.samples.x.nan_to_num(-1))
    assert again.samples.y.equal(first.samples.y)


@pytest.mark.parametrize(
    ("targets", "task", "classes"),
    [
        (["10", "9", "10"], None, ("9", "10")),
        (["1.5", "2.5", "1.5"], None, None),
        ([str(i) for i in range(21)], None, None),
        ([str(i) for i in range(21)], "classification", tuple(str(i) for i in range(21))),
        (["0", "1", "1"], "regression", None),
        (["True", "False", "True"], None, ("False", "True")),
    ],
)
def test_the_task_follows_from_the_target(tmp_path, targets, task, classes):
    path = write(tmp_path, "x,y\n" + "".join(f"{i},{y}\n" for i, y in enumerate(targets)))
    data = Csv(path, "y", task=task).load()
    assert data.classes == classes
    assert data.samples.y.dtype == (torch.int64 if classes else torch.float32)
    if classes:
        assert [classes[i] for i in data.samples.y] == targets
    else:
        assert data.samples.y.tolist() == [float(y) for y in targets]


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        ("a,price\n1,2\n", {"target": "prise"}, "^data.target=prise is no column of .*; choose from price$"),
        ("a,b\n1,2\n", {"target": "zzz"}, "^data.target=zzz .* choose from a, b$"),
        ("a,y\n", {}, "holds no rows"),
        ("", {}, "cannot be read as a csv file"),
        ("a,y\n1,2\n1,2,3,4\n", {}, "^line 3 of .* has 4 fields, and the header, 'a, y', has 2; "),
        ("y\n1\n2\n", {}, "has no column but data.target=y"),
        ("a,y\n1,\n2,5\n3,\n", {}, "has 2 rows without a value of data.target=y, the first in line 2; delete them"),
        ("a,y\n1,2.5\n2,NA\n", {}, "has 1 rows without a value of data.target=y, the first in line 3"),
        ("a,y\n1,u\n2,u\n", {}, "is 'u' in all rows .* at least two classes"),
        ("a,y\ninf,1\n2,2\n", {}, "^Column 'a' .* holds an infinite value"),
        ("a,y\n1e400,1\n2,2\n", {}, "^Column 'a' .* '1e400' in line 2; mend it, or data.missing=\\[1e400\\]"),
        ("a,y\n1,u\n2,v\n", {"task": "regression"}, "^Column 'y' .* holds text where numbers are needed"),
        ("a,y\n1,u\n2,v\n", {"target": None}, "^data.target has no value for .*; choose from a, y$"),
        ("a,y,y\n1,2,3\n4,5,6\n", {}, "has two columns 'y'; give one of them another name"),
        ("a,b, a\n1,2,3\n4,5,6\n", {"target": "b"}, "has two columns 'a'"),
        ("a,y\n1,2\n3,4\n", {"drop": ["y"]}, "^data.target=y is no column"),
        ("a,y\n1,2\n3,4\n", {"drop": "z"}, "^data.drop=z is no column of .*; choose from a, y$"),
        ("a,y\n1,2\n3,4\n", {"decimal": "dot"}, "^data.decimal=dot must be point or comma$"),
        ("a,y\n,2\n,4\n", {}, "has no value in any column but data.target=y"),
        ("a,y\n1,1e20\n2,-1e20\n", {}, "^data.target=y of .* varies by 1e\\+20, which is beyond float32"),
        ("a;y\n1,234;1\n5;0\n", {}, "'1,234' may have a decimal comma or .*; write data.decimal=point or"),
        ("a,y\n1,u\n2,v\n", {"task": "ranking"}, "^data.task=ranking must be classification, regression"),
        (
            "a,y\n" + "".join(f"n{i},{i}\n" for i in range(1001)),
            {},
            "^Column 'a' .* holds 1001 different texts",
        ),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, settings, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        Csv(write(tmp_path, text), **{"target": "y"} | settings).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("age,colour,grade\n1,red,good\n", "lacks the column 'member', which the model was trained on"),
        ("age,colour,member,grade\n1,red,true,fair\n", "is 'fair' in .* none of the classes bad, good"),
        (
            "age,colour,member,grade\nold,red,true,good\n",
            "Column 'age' .* holds text .*: 'old' in line 2; data.missing=",
        ),
    ],
)
def test_files_that_do_not_fit_the_schema(tmp_path, text, sentence):
    schema = Csv(write(tmp_path, PEOPLE), "grade").load().schema
    with pytest.raises(UserError, match=sentence):
        Csv(write(tmp_path, text, "other.csv"), "grade", schema=schema).load()


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match=r"^data\.path=.*none\.csv is not a file"):
        Csv(str(tmp_path / "none.csv"), "y").load()


@pytest.mark.parametrize(
    ("name", "shape", "classes", "features"),
    [
        ("digits", (1797, 1, 8, 8), 10, None),
        ("breast_cancer", (569, 30), 2, 30),
        ("wine", (178, 13), 3, 13),
        ("diabetes", (442, 10), None, 10),
    ],
)
def test_sklearn(name, shape, classes, features):
    data = Sklearn(name).load()
    assert data.samples.x.shape == shape
    assert data.samples.x.dtype == torch.float32
    assert (data.classes and len(data.classes)) == classes
    assert (data.features and len(data.features)) == features
    assert data.samples.y.dtype == (torch.int64 if classes else torch.float32)
    if name == "digits":
        assert (data.samples.x.min(), data.samples.x.max()) == (0, 1)
    if name == "diabetes":
        assert data.samples.x[:, 0].mean() == pytest.approx(48.5, abs=0.1)  # age in years


@pytest.mark.parametrize(
    ("values", "classes"),
    [([0, 1], 2), ([-1, 1], 2), (range(1, 21), 20), (range(21), None), ([100, 140, 320], None), ([0.0, 1.5], None)],
)
def test_whole_numbers_close_together_are_classes_and_others_are_quantities(tmp_path, values, classes):
    path = tmp_path / "table.csv"
    path.write_text("x,y\n" + "".join(f"{i},{y}\n" for i, y in enumerate([*values] * 3)))
    found = Csv(str(path), "y").load().classes
    assert (found and len(found)) == classes
