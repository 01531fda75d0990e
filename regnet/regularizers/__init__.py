"""Regularizers, one file per kind: each class is its formula and works in any training code."""

from .activities import ActivityL1, ActivityL2, ActivityPenalty, KLSparsity
from .augment import ShiftFlip
from .concrete import ConcreteDropout
from .constraints import Constraint, MaxNorm, MinMaxNorm, NonNegative, OrthogonalProjection, SpectralClip, UnitNorm
from .dropblock import DropBlock
from .dropout import AlphaDropout, Dropout, RandomLayer, SpatialDropout
from .erasing import Cutout, RandomErasing
from .gaussian import GaussianDropout
from .gradients import GradientClipping, GradientNoise
from .input_noise import FeatureNoise, InputNoise, PixelNoise
from .inputs import GradientPenalty, InputPenalty, Jacobian
from .lookahead import Lookahead
from .matrices import NuclearNorm, Orthogonal, SpectralNorm
from .mixing import CutMix, Mixup, MixupOrCutMix
from .outputs import ConfidencePenalty, OutputPenalty, RDrop, SpectralDecoupling
from .penalties import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty
from .policies import AugMix, AutoAugment, RandAugment, TrivialAugment
from .proximal import Proximal, ProximalGroupLasso, ProximalL0, ProximalL1
from .residual import DropPath, ShakeDrop, ShakeShake
from .sharpness import ASAM, SAM
from .structured import L2SP, GroupLasso, Hoyer, SparseGroupLasso
from .targets import LabelSmoothing
from .transforms import BatchTransform
from .updates import BeforeStep, CoupledDecay, Update, WeightDecay
from .weight_layers import L0, DropConnect, VariationalDropout, WeightLayer, WeightLayerPenalty

__all__ = [
    "ASAM",
    "L0",
    "L1",
    "L2",
    "L2SP",
    "SAM",
    "ActivityL1",
    "ActivityL2",
    "ActivityPenalty",
    "AlphaDropout",
    "AugMix",
    "AutoAugment",
    "BatchTransform",
    "BeforeStep",
    "ConcreteDropout",
    "ConfidencePenalty",
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
    "GradientPenalty",
    "GroupLasso",
    "Hoyer",
    "InputNoise",
    "InputPenalty",
    "Jacobian",
    "KLSparsity",
    "LabelSmoothing",
    "LayerPenalty",
    "Lookahead",
    "MaxNorm",
    "MinMaxNorm",
    "Mixup",
    "MixupOrCutMix",
    "NonNegative",
    "NuclearNorm",
    "Orthogonal",
    "OrthogonalProjection",
    "OutputPenalty",
    "Penalty",
    "PixelNoise",
    "Proximal",
    "ProximalGroupLasso",
    "ProximalL0",
    "ProximalL1",
    "RDrop",
    "RandAugment",
    "RandomErasing",
    "RandomLayer",
    "ShakeDrop",
    "ShakeShake",
    "ShiftFlip",
    "SparseGroupLasso",
    "SpatialDropout",
    "SpectralClip",
    "SpectralDecoupling",
    "SpectralNorm",
    "TrivialAugment",
    "UnitNorm",
    "Update",
    "VariationalDropout",
    "WeightDecay",
    "WeightLayer",
    "WeightLayerPenalty",
    "WeightPenalty",
]
