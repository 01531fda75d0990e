"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .activities import ActivityL1, ActivityL2, ActivityPenalty, KLSparsity
from .constraints import Constraint, MaxNorm
from .dropout import Dropout, SpatialDropout
from .inputs import GradientPenalty, InputPenalty, Jacobian
from .matrices import NuclearNorm, Orthogonal, SpectralNorm
from .outputs import ConfidencePenalty, OutputPenalty, RDrop, SpectralDecoupling
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .structured import L2SP, GroupLasso, Hoyer, SparseGroupLasso
from .transforms import BatchTransform, FeatureNoise, LabelSmoothing, Mixup, PixelNoise, ShiftFlip
from .updates import BeforeStep, Update, WeightDecay
from .weight_layers import WeightLayer

__all__ = [
    "L1",
    "L2",
    "L2SP",
    "ActivityL1",
    "ActivityL2",
    "ActivityPenalty",
    "BatchTransform",
    "BeforeStep",
    "ConfidencePenalty",
    "Constraint",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "GradientPenalty",
    "GroupLasso",
    "Hoyer",
    "InputPenalty",
    "Jacobian",
    "KLSparsity",
    "LabelSmoothing",
    "LayerPenalty",
    "MaxNorm",
    "Mixup",
    "NuclearNorm",
    "Orthogonal",
    "OutputPenalty",
    "Penalty",
    "PixelNoise",
    "RDrop",
    "ShiftFlip",
    "SparseGroupLasso",
    "SpatialDropout",
    "SpectralDecoupling",
    "SpectralNorm",
    "Update",
    "WeightDecay",
    "WeightLayer",
    "WeightPenalty",
]
