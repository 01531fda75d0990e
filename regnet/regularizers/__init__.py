"""Regularizers, one folder per kind: each class is its formula and works in any training code."""

from . import layers, penalties, transforms, updates, weight_layers
from .layers import *  # noqa: F403  # of each kind what its own `__all__` names
from .penalties import *  # noqa: F403
from .transforms import *  # noqa: F403
from .updates import *  # noqa: F403
from .weight_layers import *  # noqa: F403

__all__ = [
    *layers.__all__,
    *penalties.__all__,
    *transforms.__all__,
    *updates.__all__,
    *weight_layers.__all__,
]
