"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .augment import ShiftFlip
from .concrete import ConcreteDropout
from .constraints import Constraint, MaxNorm
from .dropblock import DropBlock
from .dropout import AlphaDropout, Dropout, RandomLayer, SpatialDropout
from .erasing import Cutout, RandomErasing
from .gaussian import GaussianDropout
from .gradients import GradientClipping, GradientNoise
from .input_noise import FeatureNoise, InputNoise, PixelNoise
from .lookahead import Lookahead
from .mixing import CutMix, Mixup, MixupOrCutMix
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .policies import AugMix, AutoAugment, RandAugment, TrivialAugment
from .residual import DropPath, ShakeDrop, ShakeShake
from .sharpness import ASAM, SAM
from .targets import LabelSmoothing
from .transforms import BatchTransform
from .updates import BeforeStep, CoupledDecay, Update, WeightDecay
from .weight_layers import L0, DropConnect, VariationalDropout, WeightLayer, WeightLayerPenalty

__all__ = [
    "ASAM",
    "L0",
    "L1",
    "L2",
    "SAM",
    "AlphaDropout",
    "AugMix",
    "AutoAugment",
    "BatchTransform",
    "BeforeStep",
    "ConcreteDropout",
    "Constraint",
    "CoupledDecay",
    "CutMix",
    "Cutout",
    "DropBlock",
    "DropConnect",
    "DropPath",
    "Dropout",
    "ElasticNet",
    "FeatureNoise",
    "GaussianDropout",
    "GradientClipping",
    "GradientNoise",
    "InputNoise",
    "LabelSmoothing",
    "LayerPenalty",
    "Lookahead",
    "MaxNorm",
    "Mixup",
    "MixupOrCutMix",
    "Penalty",
    "PixelNoise",
    "RandAugment",
    "RandomErasing",
    "RandomLayer",
    "ShakeDrop",
    "ShakeShake",
    "ShiftFlip",
    "SpatialDropout",
    "TrivialAugment",
    "Update",
    "VariationalDropout",
    "WeightDecay",
    "WeightLayer",
    "WeightLayerPenalty",
    "WeightPenalty",
]
