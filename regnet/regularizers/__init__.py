"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .constraints import Constraint, MaxNorm, MinMaxNorm, NonNegative, OrthogonalProjection, SpectralClip, UnitNorm
from .dropout import Dropout, SpatialDropout
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .proximal import Proximal, ProximalGroupLasso, ProximalL0, ProximalL1
from .transforms import BatchTransform, FeatureNoise, LabelSmoothing, Mixup, PixelNoise, ShiftFlip
from .updates import BeforeStep, Update, WeightDecay
from .weight_layers import WeightLayer

__all__ = [
    "L1",
    "L2",
    "BatchTransform",
    "BeforeStep",
    "Constraint",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "LabelSmoothing",
    "LayerPenalty",
    "MaxNorm",
    "MinMaxNorm",
    "Mixup",
    "NonNegative",
    "OrthogonalProjection",
    "Penalty",
    "PixelNoise",
    "Proximal",
    "ProximalGroupLasso",
    "ProximalL0",
    "ProximalL1",
    "ShiftFlip",
    "SpatialDropout",
    "SpectralClip",
    "UnitNorm",
    "Update",
    "WeightDecay",
    "WeightLayer",
    "WeightPenalty",
]
