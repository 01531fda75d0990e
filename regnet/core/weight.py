"""What a weight is: a parameter of a layer, or what is computed from parameters there."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .parametrized import Made, chains, is_trained, made
from .roles import WEIGHT

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Weight(NamedTuple):
    """A parameter, its dotted name, the layer that owns it, its name among the network's parameters, and its `role`.

    Under a parametrization (DropConnect, weight norm, ...) `tensor` is what is trained, and `name` and `module` are
    still those of the layer: ``head.weight``, whose `key` is ``head.parametrizations.weight.original``.
    """

    name: str
    tensor: Tensor
    module: nn.Module
    key: str
    role: str = WEIGHT  # see `regnet.core.roles.role`

    @property
    def attribute(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def used(self) -> Tensor:
        """The weight as the layer's forward pass sees it."""
        if self.layers or self.made is None:
            return getattr(self.module, self.attribute)
        return self.effective.tensor  # a hook computes it only when the layer is called

    @property
    def layers(self) -> list[nn.Module]:
        """The parametrizations that make what is `used` out of `tensor`, in their order."""
        return list(chains(self.module).get(self.attribute, ()))

    @property
    def made(self) -> Made | None:
        """How the weight is computed from parameters, as under weight norm; None where it is one itself."""
        return None if self.key == self.name else made(self.module, self.attribute)

    @property
    def parts(self) -> Sequence[Tensor]:
        """The parameters that the weight is computed from, or itself."""
        how = self.made
        return [self.tensor] if how is None else how.parts

    @property
    def trained(self) -> bool:
        """Whether it is not frozen now; of one that is computed, whether one of its parts is not."""
        how = self.made
        return is_trained(self.module, self.attribute, self.tensor) if how is None else bool(how.trained)

    @property
    def has_gradient(self) -> bool:
        return self.trained and any(part.grad is not None for part in self.parts)

    @property
    def effective(self) -> "Weight":
        """With the weight itself as `tensor`: computed, where it is made of others; before layers that act on it."""
        how = self.made
        return self if how is None else self._replace(tensor=how.compute())

    def chain(self, gradient: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The parameters that are trained, each with its gradient, from that of the weight: the chain rule."""
        how = self.made
        if how is None:
            return [(self.tensor, gradient)]
        with torch.enable_grad():
            weight = how.compute()
        return list(zip(how.trained, torch.autograd.grad(weight, how.trained, gradient), strict=True))

    def write(self, tensor: Tensor) -> None:
        """Makes `tensor` the weight, in place.

        Raises:
            ValueError: it is computed from parameters in a way that cannot be inverted.
        """
        how = self.made
        if how is not None:
            self.check_writable()
            how.write(tensor)
        elif tensor is not self.tensor:
            self.tensor.copy_(tensor)

    def check_writable(self) -> None:
        """Raises ValueError where `write` would."""
        how = self.made
        if how is not None and not how.is_weight_norm:
            raise ValueError(f"{self.name} is made by {how.by}, so its value cannot be set; leave it out by select")

    @property
    def units(self) -> Tensor:
        """A view (groups, units, fan-in...): one slice per output unit of a Linear, Conv or ConvTranspose."""
        if self.tensor.ndim < 2:  # a bias or scale: one number for each unit
            return self.tensor.view(1, -1, 1)
        if isinstance(self.module, TRANSPOSED):  # (in, out/groups, k...)
            return self.tensor.unflatten(0, (self.module.groups, -1)).transpose(1, 2)
        return self.tensor.unsqueeze(0)  # (1, out, in, k...)

    @property
    def blocks(self) -> Tensor:
        """(groups, out, in, k): what connects inputs and outputs, one block for each group of a convolution."""
        blocks = self.units
        if self.tensor.ndim >= 2 and isinstance(self.module, CONVOLUTIONS):
            blocks = self.tensor.unflatten(0, (self.module.groups, -1))
        return blocks.reshape(*blocks.shape[:3], -1)
