"""The residual networks for small images, with named sites for dropout and for what acts on residual branches."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..core import values
from .mlp import Site
from .parts import activation as make_activation
from .parts import initialize
from .parts import norm as make_norm
from .residual import Mean, Pad, Residual
from .weight_norm import normalize_weights

STEM = 16  # channels


class ResNet(nn.Module):
    """3x3 stem, stages of residual blocks of two 3x3 convolutions, mean over pixels, Linear (He et al. 2016, 4.2).

    Stage i has 16 · width · 2^i channels, and halves the image if it is not the first. Three stages of n blocks are
    the paper's ResNet of 6n + 2 layers; with `width`, `pre_activation` and `projection` they are the Wide ResNet of
    6n + 4 layers (Zagoruyko and Komodakis 2016).

    Args:
        shape: (C, H, W) of one image.
        num_outputs: classes, or 1 for regression.
        blocks: for every stage, how many.
        width: factor on the channels of the blocks.
        branches: residual branches of each block, as Shake-Shake has two; their mean is added to the shortcut.
        pre_activation: norm and activation before each convolution in place of behind it (He et al. 2016b); the
            shortcut takes the block's input as it is.
        projection: a 1x1 convolution where a shortcut changes its shape (type B); else it keeps every second pixel
            and gets zeros for its new channels (type A).
        activation, norm, init: as in `CNN`.
        input_dropout: makes the module at the inputs.
        dropout: makes the module between the two convolutions of each branch (Zagoruyko and Komodakis 2016, 2.4).
        spatial_dropout: makes the module behind every stage.
        drop_path: makes the module at the end of the residual branch of each block.
        shake_shake: makes the module that combines the branches of a block.

    Raises:
        ValueError: samples that are no images, or too small for so many stages; a number below 1; an unknown name.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_outputs: int,
        blocks: Sequence[int] = (1, 1, 1),
        width: int = 1,
        branches: int = 1,
        pre_activation: bool = False,
        projection: bool = False,
        activation: str = "ReLU",
        norm: str = "batch",
        init: str = "default",
        input_dropout: Site = nn.Identity,
        dropout: Site = nn.Identity,
        spatial_dropout: Site = nn.Identity,
        drop_path: Site = nn.Identity,
        shake_shake: Site = Mean,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"a ResNet needs images of shape (C, H, W), and these samples have shape {tuple(shape)}")
        if not values.wholes(blocks, "blocks"):
            raise ValueError("blocks=[] has no stage; give a number of blocks for each")
        for name, value in {"width": width, "branches": branches}.items():
            values.whole(value, name)
        for name, value in {"pre_activation": pre_activation, "projection": projection}.items():
            values.flag(value, name)
        if min(shape[1:]) < 2 ** (len(blocks) - 1):
            raise ValueError(f"{len(blocks)} stages halve an image of {shape[1]}x{shape[2]} to nothing; use fewer")

        def conv(channels: int, out_channels: int, stride: int = 1, kernel: int = 3) -> nn.Module:
            # the norm's own shift makes the bias idle
            return nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2, bias=norm != "batch")

        def active(channels: int) -> list[nn.Module]:
            return [make_norm(norm, channels, 2), make_activation(activation)]

        def branch(channels: int, out_channels: int, stride: int) -> nn.Module:
            first, second = conv(channels, out_channels, stride), conv(out_channels, out_channels)
            between = [*active(out_channels), dropout()]
            if pre_activation:
                return nn.Sequential(*active(channels), first, *between, second)
            return nn.Sequential(first, *between, second, make_norm(norm, out_channels, 2))

        def shortcut(channels: int, out_channels: int, stride: int) -> nn.Module:
            if (channels, stride) == (out_channels, 1):
                return nn.Identity()
            if not projection:
                return Pad(stride, out_channels - channels)
            project = conv(channels, out_channels, stride, kernel=1)
            return project if pre_activation else nn.Sequential(project, make_norm(norm, out_channels, 2))

        channels = STEM
        layers: list[nn.Module] = []
        for stage, count in enumerate(blocks):
            for block in range(count):
                sizes = channels, STEM * width * 2**stage, 2 if stage and not block else 1
                channels = sizes[1]
                paths = [branch(*sizes) for _ in range(branches)]
                layers.append(Residual(paths, shortcut(*sizes), drop_path, shake_shake))
                layers += [] if pre_activation else [make_activation(activation)]
            layers.append(spatial_dropout())
        self.input_dropout = input_dropout()
        self.stem = nn.Sequential(conv(shape[0], STEM), *([] if pre_activation else active(STEM)))
        self.stages = nn.Sequential(*layers, *(active(channels) if pre_activation else []))
        self.head = nn.Linear(channels, num_outputs)
        initialize(self, init)
        if norm == "weight":
            normalize_weights(self.stem, self.stages)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        x = self.stages(self.stem(self.input_dropout(x)))  # (B, C', H', W')
        return self.head(x.mean((2, 3)))  # (B, outputs)
