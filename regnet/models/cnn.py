"""A convolutional network in stages, with named sites for dropout."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..core import values
from .mlp import MLP, Site
from .parts import activation as make_activation
from .parts import initialize
from .parts import norm as make_norm
from .weight_norm import normalize_weights


class CNN(nn.Module):
    """Stages of 3x3 convolution, norm, activation; pooling halves the image after each; then an MLP head.

    Args:
        shape: (C, H, W) of one image.
        num_outputs: classes, or 1 for regression.
        stages: for every stage, the output channels of its blocks.
        pooling: max or average.
        head: hidden widths of the MLP behind the last stage; none is a linear head.
        global_pooling: the last stage's average over pixels goes to the head, instead of every pixel.
        activation, norm, init: as in `MLP`; the norm is the convolutions', and layer is over channels and pixels.
        input_dropout: makes the module at the inputs.
        spatial_dropout: makes the module behind every stage.
        dropout: makes the module behind every hidden activation of the head.

    Raises:
        ValueError: samples that are no images, or too small for so many stages; an unknown name.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_outputs: int,
        stages: Sequence[Sequence[int]] = ((32,), (64,)),
        pooling: str = "max",
        head: Sequence[int] = (128,),
        global_pooling: bool = False,
        activation: str = "ReLU",
        norm: str = "none",
        init: str = "default",
        input_dropout: Site = nn.Identity,
        spatial_dropout: Site = nn.Identity,
        dropout: Site = nn.Identity,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"a CNN needs images of shape (C, H, W), and these samples have shape {tuple(shape)}")
        pools = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
        values.one_of(pooling, "pooling", pools)
        values.flag(global_pooling, "global_pooling")
        if not isinstance(stages, list | tuple):
            raise ValueError(f"stages must be a list of lists of channels, such as [[32],[64]], got {stages!r}")
        for number, stage in enumerate(stages):
            values.wholes(stage, f"stages[{number}]")
        values.wholes(head, "head")
        channels, height, width = shape
        if min(height, width) < 2 ** len(stages):
            raise ValueError(f"{len(stages)} stages halve an image of {height}x{width} to nothing; use fewer")

        layers = []
        for stage in stages:
            for out_channels in stage:
                # the norm's own shift makes the bias idle
                conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=norm != "batch")
                layers += [conv, make_norm(norm, out_channels, 2), make_activation(activation)]
                channels = out_channels
            layers += [pools[pooling](2), spatial_dropout()]
            height, width = height // 2, width // 2
        self.input_dropout = input_dropout()
        self.stages = nn.Sequential(*layers)
        self.global_pooling = global_pooling
        features = (channels,) if global_pooling else (channels, height, width)
        self.head = MLP(features, num_outputs, head, activation, dropout=dropout)
        initialize(self, init)
        if norm == "weight":
            normalize_weights(self.stages)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        x = self.stages(self.input_dropout(x))  # (B, C', H', W')
        return self.head(x.mean((2, 3)) if self.global_pooling else x)  # (B, outputs)
