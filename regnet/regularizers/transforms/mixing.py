"""Two samples become one, and so do their targets."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...core import hyperparameters
from ...core.exact import at_precision_of, wide
from .base import BatchTransform, image_size
from .boxes import boxes, random_pixels
from .targets import probabilities

Mix = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Mixing(BatchTransform):
    """ỹ = m y + (1 - m) y', with (x', y') a permutation of the batch and m the share of x in x̃ = `mix`(x, x', m).

    m ~ Beta(α, α), one draw a batch, α = `strength`; α = 0 is no mixing. Class targets become
    probabilities (B, C); real targets (`num_classes` None) are mixed as they are.
    """

    stage = BatchTransform.MIXING

    def __init__(self, strength: float, num_classes: int | None = None) -> None:
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.num_classes = num_classes

    @staticmethod
    def mix(x: Tensor, other: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The mixture, and the share of `x` in it as it came out."""
        raise NotImplementedError

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return mixed(x, y, self.mix, self.strength, self.num_classes)


class Mixup(Mixing):
    """x̃ = m x + (1 - m) x' (Zhang et al. 2018, equation 1)."""

    @staticmethod
    def mix(x: Tensor, other: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:  # (B, ...)
        share = share.to(x.dtype)
        return torch.lerp(other, x, share), share


class CutMix(Mixing):
    """x̃ = x' in a box of sides √(1 - m) H, √(1 - m) W around a random pixel, x elsewhere (Yun et al. 2019, eq. 1, 2).

    One box a batch, in whole pixels and cut off at the border; the targets are mixed by the pixels that are left
    of x, as in the authors' code and torchvision's `CutMix`.
    """

    @staticmethod
    def mix(x: Tensor, other: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W)
        size = image_size(x)
        sides = torch.stack([((1 - share).sqrt() * n).round().long() for n in size])[:, None]  # (2, 1)
        box = boxes(random_pixels(1, size, x.device) - sides // 2, sides, size)  # (1, 1, H, W)
        return torch.where(box, other, x), 1 - box.float().mean()


class MixupOrCutMix(BatchTransform):
    """`Mixup` or `CutMix`, each for half of the batches, each with its own α.

    As in the training recipes of DeiT (Touvron et al. 2021, table 9: 0.8, 1.0) and of timm, whose ``switch_prob`` is
    ½ and whose ``mixup_prob`` is `probability`.

    Args:
        mixup: α >= 0 of `Mixup`; 0 is no mixing in its half.
        cutmix: α >= 0 of `CutMix`.
        probability: that a batch is mixed at all.
        num_classes: None mixes real targets as they are.
    """

    stage = BatchTransform.MIXING

    def __init__(
        self, mixup: float = 0.8, cutmix: float = 1.0, probability: float = 1.0, num_classes: int | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mixup", hyperparameters.strength(mixup, "mixup"))
        self.register_buffer("cutmix", hyperparameters.strength(cutmix, "cutmix"))
        self.register_buffer("probability", hyperparameters.ratio(probability, "probability"))
        self.num_classes = num_classes

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W)
        image_size(x)
        mix, strength = (Mixup.mix, self.mixup) if torch.rand(()) < 0.5 else (CutMix.mix, self.cutmix)
        return mixed(x, y, mix, strength * (torch.rand(()) < self.probability), self.num_classes)


def mixed(x: Tensor, y: Tensor, mix: Mix, strength: Tensor, num_classes: int | None) -> tuple[Tensor, Tensor]:
    """The batch mixed with a permutation of itself by `mix`, in a share of Beta(α, α), α = `strength`."""
    y = y if num_classes is None else probabilities(y, num_classes, wide(x).dtype)
    # Beta(α, α) as gammas; for α below 0.01 a float32 gamma underflows to 0/0
    alpha = at_precision_of(x, strength).clamp(min=0.01)  # no gamma in half precision
    share = torch._sample_dirichlet(torch.stack([alpha, alpha]))[0]  # what torch.distributions.Beta draws
    order = torch.randperm(len(x), device=x.device)
    x, share = mix(x, x[order], torch.where(strength > 0, share, 1.0))
    return x, torch.lerp(y[order], y, share.to(y.dtype))
