"""The cells of a table's file, as texts: compression, encoding and separator are found by themselves."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from .numbers import number

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {"tab": "\t", "semicolon": ";", "pipe": "|", "comma": ",", "spaces": " "}  # in this order where two agree
BOMS = (  # the long ones first, as UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE = 2**17  # characters, in which the separator is looked for
LONG = 60  # characters of a text that are shown
CONTROLS = [chr(code) for code in (*range(32), *range(127, 160)) if not chr(code).isspace()]
UNSEEN = dict.fromkeys(map(ord, [*CONTROLS, *"\u200b\u200c\u200d\u2060\ufeff"]))
UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*")  # what pandas calls a column without a name when it writes it again


@dataclass(frozen=True)
class Cells:
    """What a file holds.

    Args:
        table: a column of texts for each name of the header; the index is the line of each row.
        notes: a sentence on each thing that was guessed or left out.
    """

    table: pd.DataFrame
    separator: str
    encoding: str
    notes: tuple[str, ...]


def read_cells(path: str, sep: str | None, encoding: str | None) -> Cells:
    """The cells of the file at `path`, without blanks around them.

    Raises:
        UserError: it cannot be read, or a line has not the fields of the header.
    """
    import pandas as pd

    raw = _read(path)
    text, found = _decode(raw, encoding, path)
    if told := re.match(r'"?sep=(.)"?\r?\n', text):  # Excel's own way to say it
        text = text[told.end() :]
    separator = _separator(sep) or (told and told[1]) or _find_separator(text)
    try:
        lines, rows = _rows(text, separator)
    except csv.Error as error:
        raise UserError(f"data.path={path} cannot be read as a csv file ({error})") from error
    if not rows:
        raise UserError(f"data.path={path} cannot be read as a csv file (it is empty)")
    if len(rows) < 2:
        raise UserError(f"data.path={path} holds no rows; give a csv file with a header and rows")
    names = [tidy(name) for name in rows[0]]
    rows = _aligned(names, lines[1:], rows[1:], path)
    columns = [pd.Series(tidied(column), lines[1:], dtype=object) for column in zip(*rows, strict=True)]
    named = [not (name == "" or UNNAMED.fullmatch(name)) for name in names]
    notes = [
        f"column {place + 1} has no name, and is left out; its first cell is {column.iloc[0]!r}"
        for place, (column, has_name) in enumerate(zip(columns, named, strict=True))
        if not has_name and (column != "").any()
    ]
    if 2 * sum(number(name, ".") is not None for name in names) > len(names):
        notes.append(f"the first line is taken for the names of the columns, and holds numbers, such as {names[0]!r}")
    if encoding is None and not found.startswith("utf"):
        notes.append(f"the file is not UTF-8, and was read as {found}; data.encoding=... says what it is")
    table = (
        pd.concat([column for column, has_name in zip(columns, named, strict=True) if has_name], axis=1)
        if any(named)
        else pd.DataFrame(index=lines[1:])
    )
    table.columns = pd.Index([name for name, has_name in zip(names, named, strict=True) if has_name], dtype=object)
    return Cells(table, separator, found, tuple(notes))


def shortened(text: str) -> str:
    """What a sentence or a line shows of a long text."""
    return text if len(text) <= LONG else text[:LONG] + "…"


def tidy(text: str) -> str:
    """Without unseen characters and outer blanks, one plain blank for any inside, accents in their composed form."""
    if not text.isprintable():
        text = text.translate(UNSEEN)
    return " ".join(unicodedata.normalize("NFC", text).split())


def tidied(texts: Sequence[str]) -> list[str]:
    """Each text as `tidy` has it."""
    together = "".join(texts)
    if together.isascii() and together.isprintable() and " " not in together:
        return list(texts)
    known: dict[str, str] = {}
    return [known[text] if text in known else known.setdefault(text, tidy(text)) for text in texts]


def _read(path: str) -> bytes:
    from pandas.io.common import get_handle

    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"data.path={path} is not a file; give a csv file with a header")
    try:
        with get_handle(file, "rb", compression="infer", is_text=False) as handles:
            return handles.handle.read()
    except Exception as error:  # each compression has its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"data.path={path} cannot be read as a csv file ({reason})") from error


def _find_encoding(raw: bytes) -> str:
    for bom, encoding in BOMS:
        if raw.startswith(bom):
            return encoding
    even, odd = raw[:1000:2].count(0), raw[1:1000:2].count(0)
    if even != odd and max(even, odd) > len(raw[:1000]) / 4:
        return "utf-16-le" if odd > even else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        try:
            raw.decode(encoding)
            return encoding
        except UnicodeDecodeError:
            pass
    return "latin-1"


def _decode(raw: bytes, given: str | None, path: str) -> tuple[str, str]:
    """The text, and its encoding."""
    encoding = given or _find_encoding(raw)
    try:
        text = raw.decode(encoding)
    except LookupError as error:
        raise UserError(f"data.encoding={encoding} is not known; choose one such as utf-8, cp1252, utf-16") from error
    except UnicodeError as error:
        if given:
            raise UserError(
                f"data.encoding={encoding} is not that of {path} ({error}); leave it out to have it found"
            ) from error
        text = "\0"
    if "\0" in text:
        raise UserError(f"data.path={path} is no text; save the table as a csv file")
    return text.removeprefix("\ufeff").removesuffix("\x1a"), encoding  # the end of a file in DOS


def _separator(sep: str | None) -> str | None:
    if sep is None:
        return None
    found = SEPARATORS.get(sep, {r"\t": "\t", r"\s+": " "}.get(sep, sep))
    if len(found) != 1 or found in '"\r\n':
        raise UserError(f"data.sep={sep} must be one character, or one of {', '.join(SEPARATORS)}")
    return found


def _find_separator(text: str) -> str:
    """The one by which most rows have as many fields as the header; spaces only where no other cuts the header."""
    sample = text if len(text) <= SAMPLE else text[: text.rfind("\n", 0, SAMPLE)]
    agreeing: dict[str, tuple[float, int]] = {}
    for separator in SEPARATORS.values():
        try:
            _, rows = _rows(sample, separator, strict=False)
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        share = Counter(map(len, rows[1:]))[width] / max(1, len(rows) - 1)
        if width > 1 and (separator != " " or (share > 0.9 and not agreeing)):
            agreeing[separator] = share, width
    return max(agreeing, key=agreeing.__getitem__, default=",")


def _rows(text: str, separator: str, strict: bool = True) -> tuple[list[int], list[list[str]]]:
    """The rows that are not empty, and the line where each ends."""
    if separator == " ":
        text = "\n".join(" ".join(line.split()) for line in text.splitlines())
    reader = csv.reader(
        io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=separator != " ", strict=strict
    )
    found = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    return [line for line, _ in found], [row for _, row in found]


def _aligned(names: Sequence[str], lines: Sequence[int], rows: Sequence[list[str]], path: str) -> list[list[str]]:
    """Rows of as many cells as there are `names`; one more or less than that may only be an empty one at the end."""
    width, least = len(names), max((place + 1 for place, name in enumerate(names) if name), default=0)
    for line, row in zip(lines, rows, strict=True):
        if len(row) != width and (len(row) < least or any(map(str.strip, row[width:]))):
            raise UserError(
                f"line {line} of {path} has {len(row)} field{'s' * (len(row) != 1)}, and the header, "
                f"{shortened(', '.join(names))!r}, has {width}; mend the line or the header, or give the separator as "
                "data.sep"
            )
    return [row if len(row) == width else row[:width] + [""] * (width - len(row)) for row in rows]
