"""The figures of a report: each a function of numbers, made only where there is something to show."""

from .all import Drawn, draw
from .saving import saved

__all__ = ["Drawn", "draw", "saved"]
