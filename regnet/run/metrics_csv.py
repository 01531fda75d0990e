"""metrics.csv: one row for each validation, under one header."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..core.files import write, writing

Row = dict[str, float]
COUNTS = ("epoch", "step")


class MetricsFile:
    """Rows on disk. A name that comes later gets a column of its own, which is blank in the rows before it.

    Numbers are written so that they read back bitwise.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: list[str] = []
        self.lines: list[bytes] = []  # in the file, the header first
        self.clean = 0  # rows that are in the file as they should be

    def start(self, rows: Sequence[Row]) -> None:
        """These rows take the place of what is there."""
        self.path.unlink(missing_ok=True)
        self.header, self.clean = [], 0
        self.write(rows)

    def changed(self, row: int) -> None:
        """The row of this number is to be written again."""
        self.clean = min(self.clean, row)

    def write(self, rows: Sequence[Row]) -> None:
        """Writes what is new or changed in `rows`."""
        if self.clean == len(rows):
            return
        header = list(dict.fromkeys([*self.header, *(name for row in rows[self.clean :] for name in row)]))
        if header != self.header or not self.path.exists():
            self.header, self.clean = header, 0
        kept = self.lines[: self.clean + 1] if self.clean else [_line(header)]
        new = [_line(row.get(name, "") for name in header) for row in rows[self.clean :]]
        if 0 < self.clean == len(self.lines) - 1:  # all that is there stays
            with writing(self.path), self.path.open("r+b") as file:
                file.truncate(sum(map(len, kept)))  # a full disk may have cut the last row off
                file.seek(0, os.SEEK_END)
                file.writelines(new)
        else:
            write(self.path, b"".join([*kept, *new]))
        self.lines, self.clean = [*kept, *new], len(rows)


def read_rows(path: Path) -> list[Row]:
    """The rows of metrics.csv; none without one. The last line may have been cut off with the run.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    if not path.exists():
        return []
    text = path.read_bytes().decode()
    header, *lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")) or [[]]
    if any(len(line) != len(header) for line in lines):
        raise ValueError("a row has not the columns of the header")
    return [_row(header, line) for line in lines]


def _row(header: Sequence[str], line: Sequence[str]) -> Row:
    named = {name: text for name, text in zip(header, line, strict=True) if text}
    return {name: int(text) if name in COUNTS else float(text) for name, text in named.items()}


def _line(values: Iterable[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(values)
    return text.getvalue().encode()
