"""What a text is as a number: decimal commas, thousands separators, and a unit of money or per cent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

from ..core.errors import UserError

DECIMALS = {"point": ".", "comma": ","}
THOUSANDS = {".": ",", ",": "."}  # by the decimal sign; a blank or an apostrophe with both
UNITS = "%$€£¥"
SIGN = "[+-]?"
ODD, FRACTION = re.compile(r"[^-+.0-9eE\n]"), re.compile(r"[.eE]")
DOUBTFUL = re.compile(r",|\.[^.\n]*\.")  # may have a decimal comma
SAMPLE = 1000  # texts of a column
CODE = re.compile(rf"{SIGN}0\d+")  # a number with leading zeros names something


def decimal_sign(decimal: str | None) -> str | None:
    """The character that `data.decimal` gives. Raises UserError if that is none."""
    if decimal is None or decimal in THOUSANDS:
        return decimal
    if decimal not in DECIMALS:
        raise UserError(f"data.decimal={decimal} must be point or comma")
    return DECIMALS[decimal]


def number(text: str, decimal: str) -> int | float | None:
    """`text` as a number, without its unit; None if it is none."""
    plain = bare(text.replace("\u2212", "-"))  # a typographic minus
    if not _form(decimal).fullmatch(plain):
        return None
    plain = re.sub(rf"[{THOUSANDS[decimal]}' ]", "", plain).replace(decimal, ".")
    whole = plain.lstrip("+-").isdigit() and len(plain) < 40
    return int(plain) if whole else float(plain)


def numbers(texts: Iterable[str], decimal: str) -> dict[str, int | float]:
    """Those of the texts that are numbers, each as `number` has it; at once where all of them are plain ones."""
    texts = list(texts)
    joined = "\n".join(texts)
    if decimal != ".":
        joined = joined.replace(".", "?").replace(decimal, ".")
    if not ODD.search(joined):
        try:
            return dict(zip(texts, map(float if FRACTION.search(joined) else int, joined.split("\n")), strict=True))
        except ValueError:
            pass  # some are not
    return {text: value for text in texts if (value := number(text, decimal)) is not None}


def unit(text: str) -> str:
    """The unit before or behind the number; empty if there is none."""
    return "".join(char for char in text if char in UNITS)


def units_of(texts: Iterable[str]) -> Counter[str]:
    """How many of the texts have each unit."""
    texts = list(texts)
    together = "".join(texts)
    return Counter(map(unit, texts)) if any(sign in together for sign in UNITS) else Counter({"": len(texts)})


def bare(text: str) -> str:
    """`text` without one unit before it (behind the sign) or behind it."""
    return re.sub(rf"^({SIGN})[{UNITS}] ?| ?[{UNITS}]$", r"\1", text, count=1)


def find_decimal(columns: Iterable[Iterable[str]]) -> str:
    """The decimal sign of the numbers in these columns' texts; columns of which most texts are none do not count.

    `0,5` has a comma and `0.5` a point for certain. `1,234` may be either: it is read as the others are.

    Raises:
        ValueError: some texts show a comma and others a point, or all that have a comma may be either.
    """
    certain: dict[str, str] = {}
    open_comma = None
    for texts in columns:
        texts = list(texts)
        read = {text: (number(text, "."), number(text, ",")) for text in texts[:SAMPLE]}
        if 2 * sum(both != (None, None) for both in read.values()) < len(read):
            continue
        if DOUBTFUL.search("\n".join(texts[SAMPLE:])):
            read |= {text: (number(text, "."), number(text, ",")) for text in texts[SAMPLE:] if DOUBTFUL.search(text)}
        for text, (point, comma) in read.items():
            if point is None and comma is None:
                continue
            if point is None or comma is None:
                certain.setdefault("," if point is None else ".", text)
            elif point != comma and "," in text:
                open_comma = text
    if len(certain) > 1:
        raise ValueError(f"{certain[',']!r} has a decimal comma and {certain['.']!r} a decimal point")
    if open_comma and not certain:
        raise ValueError(f"{open_comma!r} may have a decimal comma or a comma between thousands")
    return next(iter(certain), ".")


@cache
def _form(decimal: str) -> re.Pattern:
    sign, thousands = re.escape(decimal), f"[{THOUSANDS[decimal]}' ]"
    whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{thousands}\d{{3}})+)"
    return re.compile(rf"{SIGN}(?:(?:{whole}(?:{sign}\d*)?|{sign}\d+)(?:[eE][+-]?\d+)?|inf|Inf|INF|[Ii]nfinity)")
