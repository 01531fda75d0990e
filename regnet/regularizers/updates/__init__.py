"""Updates: what happens around the optimizer's step."""

from .constraints import Constraint, MaxNorm, MinMaxNorm, NonNegative, OrthogonalProjection, SpectralClip, UnitNorm
from .decay import BeforeStep, CoupledDecay, GradientUpdate, Update, WeightDecay
from .gradients import GradientClipping, GradientNoise
from .lookahead import Lookahead
from .proximal import Proximal, ProximalGroupLasso, ProximalL0, ProximalL1
from .sharpness import ASAM, SAM

__all__ = [
    "ASAM",
    "SAM",
    "BeforeStep",
    "Constraint",
    "CoupledDecay",
    "GradientClipping",
    "GradientNoise",
    "GradientUpdate",
    "Lookahead",
    "MaxNorm",
    "MinMaxNorm",
    "NonNegative",
    "OrthogonalProjection",
    "Proximal",
    "ProximalGroupLasso",
    "ProximalL0",
    "ProximalL1",
    "SpectralClip",
    "UnitNorm",
    "Update",
    "WeightDecay",
]
