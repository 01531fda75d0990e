"""Files in the form in which well-known programs and archives give them, read without a setting."""

import numpy as np
import pandas as pd
import pytest

from regnet.data.table import Csv

# the first lines of UCI's Auto MPG, under a header; two lines of it lack the horsepower
AUTO_MPG = """mpg cylinders displacement horsepower weight acceleration year origin name
18.0   8   307.0      130.0      3504.      12.0   70  1\t"chevrolet chevelle malibu"
15.0   8   350.0      165.0      3693.      11.5   70  1\t"buick skylark 320"
25.0   4   98.00      ?          2046.      19.0   71  1\t"ford pinto"
21.0   6   200.0      ?          2875.      17.0   74  1\t"ford maverick"
"""
WINE_QUALITY = """"fixed acidity";"volatile acidity";"density";"quality"
7.4;0.7;0.9978;5
7.8;0.88;0.9968;5
11.2;0.28;0.998;6
"""
GERMAN_EXCEL = "Größe;Preis;Straße;verkauft\r\n1,85;1.250,50;Hauptstraße;ja\r\n0,9;980,00;Am Tor;nein\r\n;12,5;;ja\r\n"
R_WRITE_CSV = '"","height","kind","sold"\n"1",1.5,"a",TRUE\n"2",NA,NA,FALSE\n"3",2.5,"b",TRUE\n'


def read(path, target, **settings):
    return Csv(str(path), target, **settings).load()


def write(tmp_path, text, encoding="utf-8", name="table.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_auto_mpg(tmp_path):
    data = read(write(tmp_path, AUTO_MPG), "mpg", task="regression", drop="name")
    assert data.features == (
        *("cylinders", "displacement", "horsepower", "horsepower=missing", "weight", "acceleration", "year", "origin"),
    )
    assert data.samples.y.tolist() == [18, 15, 25, 21]
    assert data.samples.x[2].nan_to_num(-1).tolist() == [4, 98, -1, 1, 2046, 19, 71, 0]  # origin is 1 in all rows
    named = read(write(tmp_path, AUTO_MPG), "mpg", task="regression")
    assert named.features[-1] == "name=ford pinto"


def test_wine_quality(tmp_path):
    data = read(write(tmp_path, WINE_QUALITY), "quality")
    assert data.features == ("fixed acidity", "volatile acidity", "density")
    assert data.classes == ("5", "6")
    assert data.samples.x[1].tolist() == pytest.approx([7.8, 0.88, 0.9968])


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
def test_an_export_of_a_german_excel(tmp_path, encoding):
    data = read(write(tmp_path, GERMAN_EXCEL, encoding), "verkauft")
    assert data.features == (
        *("Größe", "Größe=missing", "Preis", "Straße=Am Tor", "Straße=Hauptstraße", "Straße=missing"),
    )
    assert data.classes == ("ja", "nein")
    expected = [[1.85, 0, 1250.5, 0, 1, 0], [0.9, 0, 980, 1, 0, 0], [-1, 1, 12.5, 0, 0, 1]]
    np.testing.assert_allclose(data.samples.x.nan_to_num(-1).numpy(), expected, rtol=1e-6)


def test_decimal_commas_in_quotes(tmp_path):
    data = read(write(tmp_path, 'a,y\n"0,52",u\n"1,5",v\n7,u\n'), "y")
    assert data.features == ("a",)
    assert data.samples.x[:, 0].tolist() == pytest.approx([0.52, 1.5, 7])


def test_thousands_in_quotes(tmp_path):
    data = read(write(tmp_path, 'a,b,y\n"1,250",0.5,u\n"12,000",1.5,v\n7,2.5,u\n'), "y")
    assert data.samples.x[:, 0].tolist() == [1250, 12000, 7]


def test_pandas_with_its_index(tmp_path):
    frame = pd.DataFrame({"x": [1.5, None, 2.5], "y": ["u", "v", "u"]})
    path = tmp_path / "table.csv"
    for _ in range(2):  # written, read and written again: an index of the index
        frame.to_csv(path)
        frame = pd.read_csv(path)
        data = read(path, "y")
        assert data.features == ("x", "x=missing")
        assert data.samples.x.nan_to_num(-1).tolist() == [[1.5, 0], [-1, 1], [2.5, 0]]
        assert "column 1 has no name, and is left out" in data.notes[0]


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.bz2", "csv.zip", "tsv"])
def test_what_pandas_writes_is_read(tmp_path, suffix, rng):
    frame = pd.DataFrame({"a": rng.normal(size=20), "b": rng.integers(0, 99, 20), "y": rng.choice(["u", "v"], 20)})
    path = tmp_path / f"table.{suffix}"
    frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    data = read(path, "y")
    np.testing.assert_allclose(data.samples.x.numpy(), frame[["a", "b"]].to_numpy(), rtol=1e-6)
    assert [data.classes[i] for i in data.samples.y] == frame["y"].tolist()


def test_r_with_its_row_names(tmp_path):
    data = read(write(tmp_path, R_WRITE_CSV), "sold")
    assert data.features == ("height", "height=missing", "kind=NA", "kind=a", "kind=b")
    assert data.classes == ("FALSE", "TRUE")
    assert data.samples.x.nan_to_num(-1).tolist() == [[1.5, 0, 0, 1, 0], [-1, 1, 1, 0, 0], [2.5, 0, 0, 0, 1]]


def test_a_duplicate_of_the_target_that_pandas_made(tmp_path):
    rows = "".join(f"{i % 5},{i % 2},{i % 2}\n" for i in range(20))
    data = read(write(tmp_path, "a,y,y.1\n" + rows), "y")
    assert "column 'y.1' tells the target in every row; data.drop=[y.1] leaves it out" in " ".join(data.notes)
    assert read(write(tmp_path, "a,y,y.1\n" + rows), "y", drop=["y.1"]).features == ("a",)
