"""Weight layers: weight ─► weight in every forward pass, as torch parametrizations."""

import copy

from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from ..exact import Exact
from ..weights import Select, weights


class WeightLayer(Exact):
    """A function of a weight that its layer uses in the weight's place.

    ``layer.put_on(network)`` gives each chosen weight a copy; the weight itself stays what is trained, penalized
    and decayed (see `regnet.weights.Weight`). One that asks for a penalty of its own has a method ``penalty()``.

    Args:
        select: which parameters (see `regnet.weights.weights`); None is all weights, no biases.
    """

    def __init__(self, select: Select = None) -> None:
        super().__init__()
        self.select = select

    def forward(self, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def fit(self, weight: Tensor) -> None:
        """Makes what it learns for each entry of `weight`; nothing by default."""

    def put_on(self, network: nn.Module) -> None:
        """Raises ValueError where there is no weight, or a pattern of `select` matches none."""
        found = weights(network, self.select)
        if not found:
            raise ValueError("the network has no weights to act on")
        for weight in found:
            layer = copy.deepcopy(self)
            layer.fit(weight.tensor)
            register_parametrization(weight.module, weight.name.rpartition(".")[2], layer)
