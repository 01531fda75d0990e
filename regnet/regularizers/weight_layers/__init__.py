"""Weight layers: what a weight becomes in the forward pass."""

from .layers import L0, DropConnect, VariationalDropout, WeightLayer, WeightLayerPenalty

__all__ = ["L0", "DropConnect", "VariationalDropout", "WeightLayer", "WeightLayerPenalty"]
