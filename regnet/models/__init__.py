"""Networks: plain modules that know nothing of training. Random layers come in through named sites."""

from .cnn import CNN
from .mlp import MLP
from .parts import Rescale, Standardize

__all__ = ["CNN", "MLP", "Rescale", "Standardize"]
