"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .concrete import ConcreteDropout
from .constraints import Constraint, MaxNorm
from .dropblock import DropBlock
from .dropout import AlphaDropout, Dropout, RandomLayer, SpatialDropout
from .gaussian import GaussianDropout
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .residual import DropPath, ShakeDrop, ShakeShake
from .transforms import BatchTransform, FeatureNoise, LabelSmoothing, Mixup, PixelNoise, ShiftFlip
from .updates import BeforeStep, Update, WeightDecay
from .weight_layers import L0, DropConnect, VariationalDropout, WeightLayer, WeightLayerPenalty

__all__ = [
    "L0",
    "L1",
    "L2",
    "AlphaDropout",
    "BatchTransform",
    "BeforeStep",
    "ConcreteDropout",
    "Constraint",
    "DropBlock",
    "DropConnect",
    "DropPath",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "GaussianDropout",
    "LabelSmoothing",
    "LayerPenalty",
    "MaxNorm",
    "Mixup",
    "Penalty",
    "PixelNoise",
    "RandomLayer",
    "ShakeDrop",
    "ShakeShake",
    "ShiftFlip",
    "SpatialDropout",
    "Update",
    "VariationalDropout",
    "WeightDecay",
    "WeightLayer",
    "WeightLayerPenalty",
    "WeightPenalty",
]
