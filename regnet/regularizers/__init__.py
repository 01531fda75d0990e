"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .constraints import Constraint, MaxNorm
from .dropout import Dropout, SpatialDropout
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .residual import DropPath, ShakeDrop, ShakeShake
from .transforms import BatchTransform, FeatureNoise, LabelSmoothing, Mixup, PixelNoise, ShiftFlip
from .updates import BeforeStep, Update, WeightDecay
from .weight_layers import WeightLayer

__all__ = [
    "L1",
    "L2",
    "BatchTransform",
    "BeforeStep",
    "Constraint",
    "DropPath",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "LabelSmoothing",
    "LayerPenalty",
    "MaxNorm",
    "Mixup",
    "Penalty",
    "PixelNoise",
    "ShakeDrop",
    "ShakeShake",
    "ShiftFlip",
    "SpatialDropout",
    "Update",
    "WeightDecay",
    "WeightLayer",
    "WeightPenalty",
]
