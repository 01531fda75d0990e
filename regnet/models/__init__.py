"""Networks: plain modules that know nothing of training. Random layers come in through named sites."""

from .cnn import CNN
from .mlp import MLP
from .parts import Rescale, Standardize
from .published import from_timm, from_torchvision
from .residual_mlp import ResidualMLP
from .resnet import ResNet

__all__ = ["CNN", "MLP", "ResNet", "Rescale", "ResidualMLP", "Standardize", "from_timm", "from_torchvision"]
