"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .constraints import Constraint, MaxNorm
from .dropout import Dropout, SpatialDropout
from .gradients import GradientClipping, GradientNoise
from .lookahead import Lookahead
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .sharpness import ASAM, SAM
from .transforms import BatchTransform, FeatureNoise, LabelSmoothing, Mixup, PixelNoise, ShiftFlip
from .updates import BeforeStep, CoupledDecay, Update, WeightDecay
from .weight_layers import WeightLayer

__all__ = [
    "ASAM",
    "L1",
    "L2",
    "SAM",
    "BatchTransform",
    "BeforeStep",
    "Constraint",
    "CoupledDecay",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "GradientClipping",
    "GradientNoise",
    "LabelSmoothing",
    "LayerPenalty",
    "Lookahead",
    "MaxNorm",
    "Mixup",
    "Penalty",
    "PixelNoise",
    "ShiftFlip",
    "SpatialDropout",
    "Update",
    "WeightDecay",
    "WeightLayer",
    "WeightPenalty",
]
