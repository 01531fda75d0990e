"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .dropout import Dropout, SpatialDropout
from .penalties import L1, L2, ElasticNet, Penalty, WeightPenalty
from .transforms import BatchTransform, FeatureNoise, LabelSmoothing, Mixup, PixelNoise, ShiftFlip
from .updates import Constraint, MaxNorm, Update, WeightDecay

__all__ = [
    "L1",
    "L2",
    "BatchTransform",
    "Constraint",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "LabelSmoothing",
    "MaxNorm",
    "Mixup",
    "Penalty",
    "PixelNoise",
    "ShiftFlip",
    "SpatialDropout",
    "Update",
    "WeightDecay",
    "WeightPenalty",
]
