"""Layers: of activations, in training only, at sites that the network offers."""

from .concrete import ConcreteDropout
from .dropblock import DropBlock
from .dropout import AlphaDropout, Dropout, PenalizedLayer, RandomLayer, SpatialDropout
from .gaussian import GaussianDropout
from .residual import DropPath, ShakeDrop, ShakeShake

__all__ = [
    "AlphaDropout",
    "ConcreteDropout",
    "DropBlock",
    "DropPath",
    "Dropout",
    "GaussianDropout",
    "PenalizedLayer",
    "RandomLayer",
    "ShakeDrop",
    "ShakeShake",
    "SpatialDropout",
]
