"""Penalties: what is added to the loss."""

from .activities import ActivityL1, ActivityL2, ActivityPenalty, KLSparsity
from .inputs import GradientPenalty, InputPenalty, Jacobian
from .matrices import NuclearNorm, Orthogonal, SpectralNorm
from .outputs import ConfidencePenalty, OutputPenalty, RDrop, SpectralDecoupling
from .structured import L2SP, GroupLasso, Hoyer, SparseGroupLasso
from .weights import L1, L2, ElasticNet, LayerPenalty, Penalty, WeightPenalty

__all__ = [
    "L1",
    "L2",
    "L2SP",
    "ActivityL1",
    "ActivityL2",
    "ActivityPenalty",
    "ConfidencePenalty",
    "ElasticNet",
    "GradientPenalty",
    "GroupLasso",
    "Hoyer",
    "InputPenalty",
    "Jacobian",
    "KLSparsity",
    "LayerPenalty",
    "NuclearNorm",
    "Orthogonal",
    "OutputPenalty",
    "Penalty",
    "RDrop",
    "SparseGroupLasso",
    "SpectralDecoupling",
    "SpectralNorm",
    "WeightPenalty",
]
