"""Callbacks that change the network before it is trained."""

from lightning.pytorch.callbacks import Callback
from torch import nn


class NetworkCallback(Callback):
    """A callback of a regularizer that may put the network into another one."""

    def wrap(self, network: nn.Sequential) -> nn.Sequential:
        """The network that is to be trained in place of `network`, which has its layers by then; itself by default."""
        return network
