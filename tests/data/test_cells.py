"""Files as programs write them, read into texts: no value may land in another column."""

import codecs
import gzip

import pytest

from regnet.core.errors import UserError
from regnet.data.cells import read_cells, tidy


def read(tmp_path, content, name="table.csv", **settings):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_cells(str(path), settings.get("sep"), settings.get("encoding"))


def plain(cells):
    return {name: cells.table[name].tolist() for name in cells.table}


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a,b\n1,x\n2,y\n", ","),
        ("a;b\n1,5;x, y\n2,5;z\n", ";"),
        ("a\tb\n1\tx y\n2\tz\n", "\t"),
        ("a|b\n1|x\n2|y\n", "|"),
        ("a b\n1    x\n 2\t y \n", " "),
        ("sep=;\na;b\n1;2\n", ";"),
        ("first name,last name\nAnn Lee,Bo Day\n", ","),
        ("name;a, b\nx;1\n", ";"),
    ],
)
def test_the_separator_is_found(tmp_path, text, separator):
    cells = read(tmp_path, text)
    assert cells.separator == separator
    assert cells.table.shape[1] == 2


@pytest.mark.parametrize("given", ["tab", "\t", r"\t"])
def test_the_separator_is_given(tmp_path, given):
    assert plain(read(tmp_path, "a,b\tc\n1,2\t3\n", sep=given)) == {"a,b": ["1,2"], "c": ["3"]}


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Größe,y\n1,ß\n".encode(), "utf-8"),
        ("Größe,y\n1,ß\n".encode("utf-8-sig"), "utf-8-sig"),
        ("Größe,y\n1,ß\n".encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + "Größe,y\n1,ß\n".encode("utf-16-be"), "utf-16"),
        ("Größe,y\n1,ß\n".encode("utf-16-le"), "utf-16-le"),
        ("Größe,y\n1,ß\n".encode("utf-32"), "utf-32"),
        ("Größe,y\n1,ß\n".encode("cp1252"), "cp1252"),
        ("Größe,y\n1,ß\x81\n".encode("latin-1"), "latin-1"),
    ],
)
def test_the_encoding_is_found(tmp_path, content, encoding):
    cells = read(tmp_path, content)
    assert cells.encoding == encoding
    assert cells.table["Größe"].tolist() == ["1"]
    assert cells.table["y"].tolist()[0].startswith("ß")
    assert bool(cells.notes) == (not encoding.startswith("utf"))


def test_the_encoding_is_given(tmp_path):
    content = "имя,y\n1,да\n".encode("cp1251")
    assert plain(read(tmp_path, content, encoding="cp1251")) == {"имя": ["1"], "y": ["да"]}
    assert plain(read(tmp_path, "é,y\n1,2\n".encode("utf-8-sig"), encoding="utf-8")) == {"é": ["1"], "y": ["2"]}


def test_compressed_windows_and_old_mac_lines(tmp_path):
    for content, name in [
        (gzip.compress(b"a,b\n1,2\n"), "a.csv.gz"),
        (b"a,b\r\n1,2\r\n", "b.csv"),
        (b"a,b\r1,2\r", "c.csv"),
        (b"\n\na,b\n\n1,2\n,\n\n", "d.csv"),
    ]:
        assert plain(read(tmp_path, content, name)) == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    "text",
    [
        "a,b,y,\n1,2,u,\n3,,v,\n",  # in the header and in each row
        "a,b,y\n1,2,u,\n3,,v,\n",  # in the rows only, which pandas takes for an index
        "a,b,y,\n1,2,u\n3,,v\n",  # in the header only
        "a,b,y,,\n1,2,u,,\n3,,v,,\n",
    ],
)
def test_a_comma_at_the_end_shifts_nothing(tmp_path, text):
    cells = read(tmp_path, text)
    assert plain(cells) == {"a": ["1", "3"], "b": ["2", ""], "y": ["u", "v"]}
    assert cells.notes == ()


def test_the_sign_of_dos_for_the_end_of_a_file_is_no_row(tmp_path):
    assert plain(read(tmp_path, "a,y\n1,u\n\x1a")) == {"a": ["1"], "y": ["u"]}


@pytest.mark.parametrize(
    ("text", "line", "fields"),
    [
        ("a,b,y\n1,2,u\n1,2,u,9\n", 3, 4),
        ("a,b,y\n1,2,u\n1,2\n", 3, 2),
        ("a,b,y\n1,2,u\n\n\nTotal\n", 5, 1),
        ("a, b: of the first series\n1,2,u\n", 2, 3),  # a title above the header
        ('"a","b"\n"1",2,3\n', 2, 3),  # R's write.table: row names without a name in the header
    ],
)
def test_a_line_with_other_fields_is_named(tmp_path, text, line, fields):
    with pytest.raises(
        UserError, match=rf"^line {line} of .* has {fields} fields?, and the header, 'a, b.*', has [23]; "
    ):
        read(tmp_path, text)


@pytest.mark.parametrize("header", ["", '""', "Unnamed: 0", "Unnamed: 0.1"])
def test_a_column_without_a_name_is_left_out(tmp_path, header):
    cells = read(tmp_path, f"{header},x,y\n0,5,a\n1,6,b\n")
    assert plain(cells) == {"x": ["5", "6"], "y": ["a", "b"]}
    assert cells.notes == ("column 1 has no name, and is left out; its first cell is '0'",)


def test_a_first_line_of_numbers_is_told(tmp_path):
    notes = read(tmp_path, "18.0 8 ford\n15.0 6 opel\n").notes
    assert notes == ("the first line is taken for the names of the columns, and holds numbers, such as '18.0'",)


def test_lines_are_counted_in_the_file(tmp_path):
    assert read(tmp_path, 'a,b\n\n"1\n2",x\n3,y\n').table.index.tolist() == [4, 5]


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("yes ", "yes"),
        ("\u00a0yes", "yes"),
        ("New\u00a0 York", "New York"),
        ("e\u0301", "é"),
        ("\ufeffa\u200b", "a"),
        ("\x1b[2Ja\tb", "[2Ja b"),
    ],
)
def test_blanks_make_no_other_text(text, tidied):
    assert tidy(text) == tidied


@pytest.mark.parametrize(
    ("content", "settings", "sentence"),
    [
        (b"", {}, r"cannot be read as a csv file \(it is empty\)"),
        (b"a,b\n", {}, "holds no rows"),
        (b'a,b\n1,"2', {}, r"cannot be read as a csv file \(unexpected end of data\)"),
        (b"PK\x03\x04\0\0\0\0\0\1\2", {}, "is no text; save the table as a csv file"),
        (b"a,b\n1,2\n", {"sep": "::"}, "^data.sep=:: must be one character, or one of tab, semicolon, pipe"),
        (b"a,b\n1,2\n", {"encoding": "utf-99"}, "^data.encoding=utf-99 is not known; choose one such as utf-8"),
        (b"a,b\n1,\xe4\n", {"encoding": "utf-8"}, "^data.encoding=utf-8 is not that of .*byte 0xe4"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, settings, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        read(tmp_path, content, **settings)
    assert "\n" not in str(caught.value)


def test_a_damaged_archive(tmp_path):
    with pytest.raises(UserError, match=r"t\.csv\.gz cannot be read as a csv file \(Not a gzipped file"):
        read(tmp_path, b"a,b\n1,2\n", "t.csv.gz")
