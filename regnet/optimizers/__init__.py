"""Optimizers that torch does not have."""

from .lamb import LAMB
from .lars import LARS

__all__ = ["LAMB", "LARS"]
