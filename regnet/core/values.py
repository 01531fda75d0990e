"""What the value of a setting may be. Each check returns the value, or raises ValueError with name, rule and value."""

import math
from collections.abc import Collection, Sequence
from typing import TypeVar

from .errors import near

LARGEST = 3.4028234e38  # of float32, in which training computes
LONGEST = 2**63 - 1  # of what torch can count

Value = TypeVar("Value")


def finite(value: Value, name: str) -> Value:
    """A finite number."""
    return _number(value, -LARGEST <= _plain(value) <= LARGEST, f"{name} must be a finite number")


def nonnegative(value: Value, name: str) -> Value:
    """A finite number >= 0."""
    return _number(value, 0 <= _plain(value) <= LARGEST, f"{name} must be a finite number >= 0")


def positive(value: Value, name: str) -> Value:
    """A finite number > 0."""
    return _number(value, 0 < _plain(value) <= LARGEST, f"{name} must be a finite number > 0")


def rate(value: Value, name: str) -> Value:
    """A number in [0, 1)."""
    return _number(value, 0 <= _plain(value) < 1, f"{name} must be in [0, 1)")


def ratio(value: Value, name: str) -> Value:
    """A number in [0, 1]."""
    return _number(value, 0 <= _plain(value) <= 1, f"{name} must be in [0, 1]")


def fraction(value: Value, name: str) -> Value:
    """A number in (0, 1)."""
    return _number(value, 0 < _plain(value) < 1, f"{name} must be in (0, 1)")


def whole(value: Value, name: str, least: int = 1, most: int | None = None) -> Value:
    """A whole number from `least` to `most`; one with a decimal point is none."""
    rule = f"{name} must be a whole number " + (f">= {least}" if most is None else f"from {least} to {most}")
    ok = isinstance(value, int) and least <= _plain(value) <= (LONGEST if most is None else most)
    return _number(value, ok, rule)


def wholes(values: Sequence[int], name: str, least: int = 1) -> list[int]:
    """A list of whole numbers >= `least`."""
    found = list(values) if isinstance(values, list | tuple) else None
    if found is None or not all(
        isinstance(v, int) and not isinstance(v, bool) and least <= v <= LONGEST for v in found
    ):
        got = values if found is None else found
        raise ValueError(f"{name} must be a list of whole numbers >= {least}, got {got!r}")
    return found


def flag(value: bool, name: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")
    return value


def one_of(value: str, name: str, options: Collection[str]) -> str:
    """One of these texts."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}={value!r} is none of {', '.join(options)}{near(str(value), options)}")
    return value


def _plain(value: object) -> float:
    """The number that it is, NaN of anything else: NaN passes no comparison."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _number(value: Value, allowed: bool, rule: str) -> Value:
    if not allowed:
        raise ValueError(f"{rule}, got {value!r}")
    return value
