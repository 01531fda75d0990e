"""Networks whose layers draw: which those are, and how they are left drawing while all else is in evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from .exact import Exact


class RandomLayer(Exact):
    """A layer, or a weight layer, that draws in training and is deterministic in evaluation.

    The mark by which `stochastic` finds what to leave random.
    """


RANDOM = (RandomLayer, nn.modules.dropout._DropoutNd)  # regnet's layers and weight layers; torch's nn.*Dropout*


def has_random_layers(network: nn.Module) -> bool:
    return any(isinstance(module, RANDOM) for module in network.modules())


@contextmanager
def modes_kept(network: nn.Module) -> Iterator[None]:
    """Each module is afterwards in training or in evaluation as it was before."""
    before = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def stochastic(network: nn.Module) -> Iterator[None]:
    """Random layers draw as in training; all others, such as batch norm, are in evaluation mode.

    Raises:
        ValueError: the network has no random layer.
    """
    layers = [module for module in network.modules() if isinstance(module, RANDOM)]
    if not layers:
        raise ValueError("the network has no random layer, such as dropout, that could draw")
    with modes_kept(network):
        network.eval()
        for layer in layers:
            layer.training = True  # not train(), which would also change the modules inside it
        yield
