"""A multi-layer perceptron with named sites for dropout."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ..core import values
from .parts import activation as make_activation
from .parts import initialize
from .parts import norm as make_norm
from .weight_norm import normalize_weights

Site = Callable[[], nn.Module]


class MLP(nn.Module):
    """Linear, norm, activation, dropout for every width; then a Linear head.

    Args:
        shape: of one sample; more than one axis is flattened.
        num_outputs: classes, or 1 for regression.
        widths: of the hidden layers; none is a linear model.
        activation: class name in torch.nn.
        norm: none, or between Linear and activation batch, layer or group; or weight, of the hidden layers' weights.
        init: a function of torch.nn.init without its underscore, or default.
        input_dropout: makes the module at the inputs.
        dropout: makes the module behind every hidden activation.

    Raises:
        ValueError: an unknown activation, norm or init, or a width below 1.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_outputs: int,
        widths: Sequence[int] = (128,),
        activation: str = "ReLU",
        norm: str = "none",
        init: str = "default",
        input_dropout: Site = nn.Identity,
        dropout: Site = nn.Identity,
    ) -> None:
        super().__init__()
        sizes = [math.prod(shape), *values.wholes(widths, "widths")]
        self.input_dropout = input_dropout()
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Linear(fan_in, width),
                    make_norm(norm, width, 0),
                    make_activation(activation),
                    dropout(),
                )
                for fan_in, width in zip(sizes, widths, strict=False)
            )
        )
        self.head = nn.Linear(sizes[-1], num_outputs)
        initialize(self, init)
        if norm == "weight":
            normalize_weights(self.hidden)

    def forward(self, x: Tensor) -> Tensor:  # (B, *shape)
        return self.head(self.hidden(self.input_dropout(x.flatten(1))))  # (B, outputs)
