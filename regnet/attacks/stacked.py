"""Several networks of one architecture, attacked as one."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state


class Stacked:
    """x (K B, ...) ─► logits (K B, C), the k-th B examples by the k-th of K networks, in one `torch.func.vmap`.

    Every loss is an example's own, so an attack on it is an attack on each network. Restarts and radii go into the
    batch as well: repeat the examples, and give `epsilon` and `index` for each.

    >>> from regnet.attacks import PGD
    >>> networks = [nn.Linear(4, 3) for _ in range(5)]
    >>> x, y = torch.randn(7, 4), torch.arange(7) % 3
    >>> stacked = Stacked(networks)
    >>> found = PGD(0.1)(stacked, stacked.repeat(x), stacked.repeat(y), index=stacked.repeat(torch.arange(7)))
    >>> stacked.split(found).shape
    torch.Size([5, 7, 4])
    >>> alone = PGD(0.1)(networks[2], x, y)
    >>> torch.allclose(stacked.split(found)[2], alone)
    True

    Args:
        networks: as they are in evaluation; they are copied.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        copies = [copy.deepcopy(network).eval() for network in networks]
        parameters, buffers = stack_module_state(copies)
        self.count, self.one = len(copies), copies[0]
        self.state = {name: tensor.detach() for name, tensor in (parameters | buffers).items()}

    def __call__(self, x: Tensor) -> Tensor:
        def logits(state: dict[str, Tensor], x: Tensor) -> Tensor:
            return functional_call(self.one, state, (x,))

        return torch.vmap(logits)(self.state, self.split(x)).flatten(0, 1)

    def repeat(self, of_examples: Tensor) -> Tensor:
        """The same examples for every network, (B, ...) ─► (K B, ...)."""
        return of_examples.repeat(self.count, *(1 for _ in of_examples.shape[1:]))

    def split(self, of_all: Tensor) -> Tensor:
        """(K B, ...) ─► (K, B, ...)."""
        return of_all.reshape(self.count, -1, *of_all.shape[1:])
