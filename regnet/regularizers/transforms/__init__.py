"""Transforms: of a training batch."""

from .augment import ShiftFlip
from .base import BatchTransform
from .erasing import Cutout, RandomErasing
from .input_noise import FeatureNoise, InputNoise, PixelNoise
from .mixing import CutMix, Mixup, MixupOrCutMix
from .policies import AugMix, AutoAugment, RandAugment, TrivialAugment
from .targets import LabelSmoothing

__all__ = [
    "AugMix",
    "AutoAugment",
    "BatchTransform",
    "CutMix",
    "Cutout",
    "FeatureNoise",
    "InputNoise",
    "LabelSmoothing",
    "Mixup",
    "MixupOrCutMix",
    "PixelNoise",
    "RandAugment",
    "RandomErasing",
    "ShiftFlip",
    "TrivialAugment",
]
