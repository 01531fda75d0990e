"""Attacks: small changes of the inputs that are to make a network err. Plain objects, for anyone's network."""

from .base import Attack
from .pgd import FGSM, PGD

__all__ = ["FGSM", "PGD", "Attack"]
