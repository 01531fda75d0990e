"""The letters of a PDF are cut out of the font, for which matplotlib reads the whole of it again for each file.

Most of that time goes to the rules by which letters are joined and placed. A PDF says where each letter stands, and
needs none of them: they are left out once, which makes the file smaller and changes nothing that is seen.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from fontTools import subset
from fontTools.ttLib import TTFont

RULES = ("GSUB", "GPOS", "GDEF", "kern")  # tables of a font


@contextmanager
def without_rules() -> Iterator[None]:
    """Within it, fonts are cut from copies that have no `RULES`."""
    load = subset.load_font

    def load_plain(font_file: str, options: Any, **others: Any) -> TTFont:
        return load(io.BytesIO(_plain(font_file, options.font_number)), options, **others)

    subset.load_font = load_plain
    try:
        yield
    finally:
        subset.load_font = load


@cache
def _plain(font_file: str, number: int) -> bytes:
    plain = io.BytesIO()
    with TTFont(font_file, fontNumber=number) as font:
        for table in RULES:
            if table in font:
                del font[table]
        font.save(plain, reorderTables=False)
    return plain.getvalue()
