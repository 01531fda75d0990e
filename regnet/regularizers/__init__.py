"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .constraints import Constraint, MaxNorm
from .dropout import Dropout, SpatialDropout
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .transforms import BatchTransform, FeatureNoise, LabelSmoothing, Mixup, PixelNoise, ShiftFlip
from .updates import BeforeStep, Update, WeightDecay
from .weight_layers import L0, DropConnect, VariationalDropout, WeightLayer, WeightLayerPenalty

__all__ = [
    "L0",
    "L1",
    "L2",
    "BatchTransform",
    "BeforeStep",
    "Constraint",
    "DropConnect",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "LabelSmoothing",
    "LayerPenalty",
    "MaxNorm",
    "Mixup",
    "Penalty",
    "PixelNoise",
    "ShiftFlip",
    "SpatialDropout",
    "Update",
    "VariationalDropout",
    "WeightDecay",
    "WeightLayer",
    "WeightLayerPenalty",
    "WeightPenalty",
]
