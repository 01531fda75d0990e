"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .augment import ShiftFlip
from .constraints import Constraint, MaxNorm
from .dropout import Dropout, SpatialDropout
from .erasing import Cutout, RandomErasing
from .input_noise import FeatureNoise, InputNoise, PixelNoise
from .mixing import CutMix, Mixup, MixupOrCutMix
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .policies import AugMix, AutoAugment, RandAugment, TrivialAugment
from .targets import LabelSmoothing
from .transforms import BatchTransform
from .updates import BeforeStep, Update, WeightDecay
from .weight_layers import WeightLayer

__all__ = [
    "L1",
    "L2",
    "AugMix",
    "AutoAugment",
    "BatchTransform",
    "BeforeStep",
    "Constraint",
    "CutMix",
    "Cutout",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "InputNoise",
    "LabelSmoothing",
    "LayerPenalty",
    "MaxNorm",
    "Mixup",
    "MixupOrCutMix",
    "Penalty",
    "PixelNoise",
    "RandAugment",
    "RandomErasing",
    "ShiftFlip",
    "SpatialDropout",
    "TrivialAugment",
    "Update",
    "WeightDecay",
    "WeightLayer",
    "WeightPenalty",
]
