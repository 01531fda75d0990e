"""Augmentation by random operations on 8-bit images: torchvision's policies, drawn for each image alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...core import hyperparameters, values
from .base import BatchTransform, image_size


class Policy(BatchTransform):
    """x̃ = policy(x) for each image by itself with probability `probability`, else x; x in [0, 1].

    The operations are those of torchvision and mean 8-bit images: what is changed is rounded to 1/255. They run one
    image after the other, where the images are, since torchvision draws one operation for a whole batch. Grey images
    pass with their one channel; what acts on colour alone leaves them as they are.

    Args:
        policy: uint8 image (C, H, W) ─► the same, drawing from torch's global generator.
        probability: that an image is changed, in [0, 1].
    """

    stage = BatchTransform.INPUTS

    def __init__(self, policy: Callable[[Tensor], Tensor], probability: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("probability", hyperparameters.ratio(probability, "probability"))
        self.policy = policy

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W)
        image_size(x)
        if x.shape[1] not in (1, 3):
            raise ValueError(f"this is for grey or colour images of 1 or 3 channels, and these have {x.shape[1]}")
        chosen = torch.rand(len(x), device=x.device) < self.probability
        # which are chosen on a GPU, the host would have to wait for: there all are changed
        draws = chosen.tolist() if x.device.type == "cpu" else [True] * len(x)
        images = x.float().mul(255).round().clamp(0, 255).to(torch.uint8)
        changed = [self.policy(image) if draw else image for image, draw in zip(images, draws, strict=True)]
        wide = torch.promote_types(x.dtype, torch.float32)
        new = torch.stack(changed).to(wide).div(255).to(x.dtype)
        return torch.where(chosen[:, None, None, None], new, x), y


class RandAugment(Policy):
    """`num_ops` operations in a row, drawn from 14, all of one magnitude (Cubuk et al. 2020, section 3).

    Args:
        num_ops: how many, N in the paper.
        magnitude: of each, M in the paper; here from 0 to 30, torchvision's bins.
        probability: see `Policy`.
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 9, probability: float = 1.0) -> None:
        bins = 31
        values.whole(num_ops, "num_ops", 0)
        values.whole(magnitude, "magnitude", 0, bins - 1)
        v2 = _transforms()
        super().__init__(v2.RandAugment(num_ops, magnitude, num_magnitude_bins=bins), probability)


class TrivialAugment(Policy):
    """One operation drawn from 14, of a magnitude drawn from the whole of a wide range: no knobs.

    Müller & Hutter 2021, section 3, with their wide space of operations.
    """

    def __init__(self, probability: float = 1.0) -> None:
        super().__init__(_transforms().TrivialAugmentWide(), probability)


class AugMix(Policy):
    """x̃ = m x + (1 - m) Σ_k w_k chain_k(x) with w ~ Dirichlet(1), m ~ Beta(1, 1), chains of 1 to 3 operations.

    Hendrycks et al. 2020, algorithm 1: the augmentation alone, without the paper's consistency loss, and with all
    of torchvision's operations.

    Args:
        severity: the largest magnitude, from 1 to 10.
        width: the number of chains, k in the paper.
        probability: see `Policy`.
    """

    def __init__(self, severity: int = 3, width: int = 3, probability: float = 1.0) -> None:
        values.whole(severity, "severity", 1, 10)
        values.whole(width, "width")
        super().__init__(_transforms().AugMix(severity, width), probability)


class AutoAugment(Policy):
    """Two operations with their probabilities and magnitudes, a pair drawn from 25 that were found by search.

    Cubuk et al. 2019, section 3 and appendix.

    Args:
        policy: the data on which they were found: ``cifar10``, ``svhn`` or ``imagenet``.
        probability: see `Policy`.
    """

    def __init__(self, policy: str, probability: float = 1.0) -> None:
        v2 = _transforms()
        known = {found.value: found for found in v2.AutoAugmentPolicy}
        if policy not in known:
            raise ValueError(
                f"policy must be one of {', '.join(sorted(known))}, got {policy!r}; for data that have no policy "
                "of their own, rand_augment and trivial_augment need none"
            )
        super().__init__(v2.AutoAugment(known[policy]), probability)


def _transforms() -> Any:
    """torchvision's, which takes more than a second to import."""
    from torchvision.transforms import v2

    return v2
