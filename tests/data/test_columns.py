"""Which columns are numbers, which have levels, and how both are encoded: by stated rules, with the right values."""

import json
import math

import numpy as np
import pytest
import torch

from regnet.core.errors import UserError
from regnet.data.columns import fit, narrow
from regnet.data.moments import input_moments
from regnet.data.table import Csv
from regnet.models import Standardize


def load(tmp_path, text, target="y", name="table.csv", **settings):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Csv(str(tmp_path / name), target, **settings).load()


def column(tmp_path, cells, **settings):
    """A file of a column x of these cells, beside targets of two classes."""
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in map(str, cells)]
    return load(tmp_path, "x,y\n" + "".join(f"{cell},{i % 2}\n" for i, cell in enumerate(quoted)), **settings)


def values(data):
    return data.samples.x[:, 0].nan_to_num(-1).tolist()


def told(data):
    return " ".join(data.notes)


@pytest.mark.parametrize("text", ["", "NA", "n/a", "?", "-", "nan", "NULL", "None", "#N/A", "<NA>"])
def test_missing_among_numbers(tmp_path, text):
    data = column(tmp_path, ["1.5", text, "2.5", text])
    assert data.features == ("x", "x=missing")
    assert values(data) == [1.5, -1, 2.5, -1]
    assert data.samples.x[:, 1].tolist() == [0, 1, 0, 1]


def test_levels_and_classes_may_be_called_none(tmp_path):
    data = load(tmp_path, "roof,y\nNone,NA\nflat,None\n,NA\nNA,null\n")
    assert data.classes == ("NA", "None", "null")
    assert data.samples.y.tolist() == [0, 1, 0, 2]
    assert data.features == ("roof=NA", "roof=None", "roof=flat", "roof=missing")
    assert data.samples.x.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    assert "column 'roof' has 'None' for one of its texts; data.missing=[None] makes it a missing value" in told(data)


def test_a_person_says_what_is_missing(tmp_path):
    text = "a,b,y\n-999,None,u\n-999.0,flat,v\n5,-999,u\n7,flat,u\n"
    data = load(tmp_path, text, missing=["None", -999])
    assert data.features == ("a", "a=missing", "b=flat", "b=missing")
    assert data.samples.x.nan_to_num(-1).tolist() == [[-1, 1, 0, 1], [-1, 1, 1, 0], [5, 0, 0, 1], [7, 0, 1, 0]]
    assert data.schema["missing"] == ["None", "-999"]
    again = load(tmp_path, "a,b,y\n-999,None,u\n", name="b.csv", schema=json.loads(json.dumps(data.schema)))
    assert again.samples.x.nan_to_num(-1).tolist() == [[-1, 1, 0, 1]]
    with pytest.raises(UserError, match=r"has 2 rows without a value of data\.target=y"):
        load(tmp_path, "a,y\n1,u\n2,None\n3,v\n4,None\n", missing="None")


@pytest.mark.parametrize(
    ("cells", "odd"),
    [
        ([*range(30), "abc"], "abc"),
        ([f"{i}.5" for i in range(10)] + ["0,52"], "0,52"),
        ([*range(0, 90, 3), "12%"], "12%"),
        ([1, 2, 3] * 20 + ["x"], "x"),  # a mistake among labels
        ([*range(100)] + ["low", "high"] * 20, "low"),
    ],
)
def test_numbers_with_a_few_texts_are_no_levels(tmp_path, cells, odd):
    line = [*map(str, cells)].index(odd) + 2
    with pytest.raises(
        UserError, match=rf"^Column 'x' .* holds numbers, but in line {line} '{odd}'; data\.missing=\[{odd}"
    ):
        column(tmp_path, cells, decimal="point")
    assert column(tmp_path, cells, decimal="point", missing=[odd, "high"]).features == ("x", "x=missing")
    with pytest.raises(UserError, match="has no column but"):
        column(tmp_path, cells, drop=["x"], decimal="point")


def test_labels_that_mix_numbers_and_texts(tmp_path):
    data = column(tmp_path, ["2", "3", "4", "5more"] * 5)
    assert data.features == ("x=2", "x=3", "x=4", "x=5more")
    assert "column 'x' mixes numbers and texts, such as '2' and '5more': each is a level" in told(data)


def test_one_class_however_it_is_written(tmp_path):
    data = load(tmp_path, "x,y\n1,yes\n2,yes \n3,\u00a0yes\n4,no\n5,Yes\n")
    assert data.classes == ("Yes", "no", "yes")
    assert data.samples.y.tolist() == [2, 2, 2, 1, 0]
    assert "the target 'y' has 'Yes' and 'yes', which differ in case only" in told(data)


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["0.0", "1.0", "0", "1."], ("0", "1")),
        (["10", "9", "10.0", "9"], ("9", "10")),
        (["01", "02", "01", "02"], ("01", "02")),
        (["9007199254740993", "9007199254740992"] * 2, ("9007199254740992", "9007199254740993")),
        (["=1+1", "???", "${x}", "???"], ("${x}", "=1+1", "???")),
        (["1", "2", "other", "other"] * 5, ("1", "2", "other")),
    ],
)
def test_classes(tmp_path, cells, classes):
    text = "x,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))
    data = load(tmp_path, text)
    assert data.classes == classes
    again = load(tmp_path, text, schema=json.loads(json.dumps(data.schema)))
    assert again.samples.y.equal(data.samples.y)
    assert [float(classes[i]) if classes[i].isdigit() else classes[i] for i in data.samples.y] == [
        float(cell) if classes[0].isdigit() and cell != "other" else (float(cell) if cell.isdigit() else cell)
        for cell in cells
    ]


def test_milliseconds_since_1970_keep_their_differences(tmp_path):
    start = 1_700_000_000_000
    data = column(tmp_path, [start + i for i in range(8)])
    center = data.schema["columns"]["x"]["center"]
    assert (data.samples.x[:, 0].double() + center).tolist() == [start + i for i in range(8)]
    standardized = Standardize(*input_moments(data.samples))(data.samples.x)[:, 0]
    exact = (np.arange(8) - 3.5) / np.arange(8).std()
    assert standardized.tolist() == pytest.approx(exact.tolist(), abs=1e-6)
    later = column(tmp_path, [start + 100], schema=data.schema)
    assert later.samples.x[0, 0].item() + center == start + 100
    assert "counts the rows" not in told(data)


def test_targets_with_a_large_offset(tmp_path):
    targets = [1.7e12 + i / 4 for i in range(8)]
    data = load(tmp_path, "x,y\n" + "".join(f"{i % 3},{y!r}\n" for i, y in enumerate(targets)))
    assert (data.samples.y.double() + data.schema["center"]).tolist() == targets
    again = load(tmp_path, f"x,y\n1,{targets[3]!r}\n", schema=data.schema)
    assert again.samples.y[0] == data.samples.y[3]


@pytest.mark.parametrize("text", [r"\N", "#NAME?", "#NV", "#DIV/0!"])
def test_missing_numbers_as_databases_and_sheets_write_them(tmp_path, text):
    data = load(tmp_path, f"x,y\n1.5,u\n{text},v\n2.5,u\n")
    assert data.samples.x[:, 0].tolist() == pytest.approx([1.5, math.nan, 2.5], nan_ok=True)
    assert data.samples.x[:, 1].tolist() == [0, 1, 0]


def test_whole_numbers_beyond_float64_are_exact_beside_missing_values(tmp_path):
    large = 2**60
    cells = ["?", *(str(large + i) for i in range(9))]
    data = load(tmp_path, "x,y\n" + "".join(f"{cell},{i % 2}\n" for i, cell in enumerate(cells)))
    assert data.schema["columns"]["x"] == {"levels": None, "missing": True, "center": large + 4, "scale": 1}
    assert data.samples.x[1:, 0].tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4]
    assert data.samples.x[:, 1].tolist() == [1] + 9 * [0]


@pytest.mark.parametrize(
    ("numbers", "center", "scale"),
    [
        ([30, 50, math.nan, 40.5], 0, 1),
        ([2001, 2011, 1999], 0, 1),
        ([10**18, 10**18 + 1, 10**18 + 2], 10**18 + 1, 1),
        ([5, 5, 5], 5, 1),
        ([math.nan], 0, 1),
        ([-1e39, 1e39], 0, 1e39),
        ([-1e-40, 1e-40], 0, 1e-40),
        ([-1e-300, 1e-300], 0, 1e-300),
    ],
)
def test_center_and_scale(numbers, center, scale):
    found = fit(np.array(numbers, dtype=object))
    assert found == (pytest.approx(center), pytest.approx(scale))
    encoded = narrow(np.array(numbers, dtype=object), *found)
    assert encoded.dtype == torch.float32
    present = [number for number in numbers if not math.isnan(number)]
    assert encoded[~encoded.isnan()].tolist() == pytest.approx([(number - center) / scale for number in present])


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["007", "012", "100"] * 3, "has numbers with leading zeros, such as '007', and is taken for text"),
        (["12%", "13%", "12%"] * 3, "has the unit '%', which is left out"),
        (["5 kg", "7.5kg", "12 kg"] * 3, "has numbers with 'kg' behind them, such as '12 kg', and is taken for text"),
        (["2024-01", "2024-02"] * 5, "holds dates or times, such as '2024-01': each is a level"),
        (["5"] * 9, "is 5 in all rows that have a value"),
        (["u"] * 9, "is 'u' in all rows that have a value"),
        ([*range(20)], r"counts the rows; data.drop=[x] leaves it out"),
        ([*range(100, 0, -3)], "is another whole number in every row"),
        (
            [f"n{i}" for i in range(20)],
            "is another text in every row; data.drop=[x] leaves it out if it names the rows",
        ),
        ([f"n{i}" for i in range(60)] * 2, "has 60 levels, each of which is a feature"),
        (
            ["2024-01-31", "2024-02-01"] * 4 + ["2024-01-31"],
            "holds dates or times, such as '2024-01-31': each is a level",
        ),
        (["red", "Red", "blue"] * 3, "has 'Red' and 'red', which differ in case only"),
        (["u", "v"] * 9, "tells the target in every row; data.drop=[x] leaves it out"),
        ([7, 9] * 9, "tells the target in every row"),
    ],
)
def test_what_looks_odd_is_told(tmp_path, cells, sentence):
    assert f"{tmp_path / 'table.csv'}: column 'x' {sentence}" in told(column(tmp_path, cells))


@pytest.mark.parametrize("cells", [["u", "v", "w"] * 6, [1.5, 2.5, 3.5] * 6, [*range(9)] * 2])
def test_nothing_is_told_of_a_good_column(tmp_path, cells):
    assert column(tmp_path, cells).notes == ()


@pytest.mark.parametrize(("factor", "leaks"), [(100, True), (-0.3, True), (None, False)])
def test_a_linear_function_of_a_target_of_numbers_is_told(tmp_path, factor, leaks):
    targets = [(i * 7 % 23) + 0.25 for i in range(30)]
    features = [target**2 if factor is None else factor * target + 3 for target in targets]
    data = load(tmp_path, "x,y\n" + "".join(f"{x!r},{y}\n" for x, y in zip(features, targets, strict=True)))
    assert ("tells the target in every row" in told(data)) == leaks


def test_dates_are_refused(tmp_path):
    for form in ("2024-{m:02}-{d:02}", "{d}.{m}.2024", "{m}/{d}/24", "2024-{m:02}-{d:02}T10:00:00Z", "{d} Mar {m:02}"):
        cells = [form.format(m=m, d=d) for m in range(1, 4) for d in range(1, 28)]
        with pytest.raises(UserError, match=r"^Column 'x' .* holds dates or times, such as .* data\.drop=\[x\]$"):
            column(tmp_path, cells)


def test_numbers_with_another_decimal_sign_than_the_files(tmp_path):
    cells = [f"{i}.5" for i in range(40)]
    with pytest.raises(UserError, match=r"^Column 'x' .* with a decimal point, such as '0\.5', .* data\.decimal=point"):
        column(tmp_path, cells, decimal="comma")
    few = column(tmp_path, cells[:3] * 4, decimal="comma")
    assert few.features == ("x=0.5", "x=1.5", "x=2.5")
    assert "column 'x' has numbers with a decimal point, such as '0.5', and is taken for text" in told(few)


@pytest.mark.parametrize("text", ["", "NA", "?"])
def test_a_column_without_values_is_left_out(tmp_path, text):
    data = load(tmp_path, f"a,b,y\n1,{text},u\n2,{text},v\n")
    assert data.features == ("a",)
    assert "column 'b' has no value in any row, and is left out" in told(data)


def test_features_of_the_same_name_are_all_kept(tmp_path):
    data = load(tmp_path, "a,a=b,y\nb,7,u\nc,8,v\n")
    assert data.features == ("a=b", "a=c", "a=b")
    assert data.samples.x.tolist() == [[1, 0, 7], [0, 1, 8]]


@pytest.mark.parametrize("given", ["2", 2])
def test_a_column_named_by_a_number(tmp_path, given):
    assert load(tmp_path, "1,2\n5,u\n6,v\n", given).classes == ("u", "v")
    assert load(tmp_path, "1,2,3\n5,6,u\n6,7,v\n", "3", drop=[given]).features == ("1",)


@pytest.mark.parametrize(("name", "given"), [("1e3", 1000.0), ("true", True), ("null", None), ("1_000", 1000)])
def test_a_column_whose_name_hydra_reads_as_a_value(tmp_path, name, given):
    assert load(tmp_path, f"x,{name}\n5,u\n6,v\n", given).classes == ("u", "v")


@pytest.mark.parametrize("name", ["% fat", "价格", "a.b", "a=b", "${x}", "[a]", "it's", "???", "x" * 500])
def test_columns_of_any_name(tmp_path, name):
    data = load(tmp_path, f"{name},z\n1,u\n2,v\n", "z")
    assert data.features == (name,)
    assert load(tmp_path, f"z,{name}\n1,u\n2,v\n", name).classes == ("u", "v")
