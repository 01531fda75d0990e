"""Attacks: small changes of the inputs that are to make a network err. Plain objects, for anyone's network."""

from .accuracy import correct, minimal_epsilon, robust, transfer
from .apgd import APGD
from .base import Attack
from .pgd import FGSM, PGD
from .square import Square
from .stacked import Stacked
from .strongest import Strongest
from .trust import Sign, signs

__all__ = [
    "APGD",
    "FGSM",
    "PGD",
    "Attack",
    "Sign",
    "Square",
    "Stacked",
    "Strongest",
    "correct",
    "minimal_epsilon",
    "robust",
    "signs",
    "transfer",
]
