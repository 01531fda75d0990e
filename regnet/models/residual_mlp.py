"""A multi-layer perceptron of residual blocks, with named sites for dropout and for what acts on their branches."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ..core import values
from .mlp import Site
from .parts import activation as make_activation
from .parts import initialize
from .parts import norm as make_norm
from .residual import Mean, Residual
from .weight_norm import normalize_weights


class ResidualMLP(nn.Module):
    """Linear stem; blocks x + Linear(dropout(activation(Linear(norm(x))))); norm, activation, and a Linear head.

    Gorishniy et al. 2021 (section 3.2, "ResNet") have the same with batch norm, and dropout behind the block.

    Args:
        shape: of one sample; more than one axis is flattened.
        num_outputs: classes, or 1 for regression.
        blocks: how many.
        width: of every layer.
        branches: residual branches of each block, as Shake-Shake has two; their mean is added to x.
        activation, norm, init: as in `MLP`.
        input_dropout: makes the module at the inputs.
        dropout: makes the module behind the activation of each branch.
        drop_path: makes the module at the end of the residual branch of each block.
        shake_shake: makes the module that combines the branches of a block.

    Raises:
        ValueError: an unknown activation, norm or init, or a number below 1.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_outputs: int,
        blocks: int = 2,
        width: int = 128,
        branches: int = 1,
        activation: str = "ReLU",
        norm: str = "none",
        init: str = "default",
        input_dropout: Site = nn.Identity,
        dropout: Site = nn.Identity,
        drop_path: Site = nn.Identity,
        shake_shake: Site = Mean,
    ) -> None:
        super().__init__()
        for name, value in {"blocks": blocks, "width": width, "branches": branches}.items():
            values.whole(value, name)

        def branch() -> nn.Module:
            inner = [nn.Linear(width, width), make_activation(activation), dropout()]
            return nn.Sequential(make_norm(norm, width, 0), *inner, nn.Linear(width, width))

        def block() -> nn.Module:
            return Residual([branch() for _ in range(branches)], nn.Identity(), drop_path, shake_shake)

        self.input_dropout = input_dropout()
        self.stem = nn.Linear(math.prod(shape), width)
        self.blocks = nn.Sequential(*(block() for _ in range(blocks)))
        self.last = nn.Sequential(make_norm(norm, width, 0), make_activation(activation))
        self.head = nn.Linear(width, num_outputs)
        initialize(self, init)
        if norm == "weight":
            normalize_weights(self.stem, self.blocks)

    def forward(self, x: Tensor) -> Tensor:  # (B, *shape)
        x = self.stem(self.input_dropout(x.flatten(1)))  # (B, width)
        return self.head(self.last(self.blocks(x)))  # (B, outputs)
