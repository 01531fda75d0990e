"""Where layers go: to the sites that a network offers, or after modules of a network that offers none."""

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..core import hyperparameters
from ..core.patterns import modules

RULES = {  # (l, number of sites) ─► the share of the rate that site l has
    "constant": lambda number, count: 1.0,
    "linear": lambda number, count: number / count,  # Huang et al. 2016, equation 4
    "first": lambda number, count: float(number == 1),
    "last": lambda number, count: float(number == count),
}


class Site:
    """Makes the copies of a layer that a network asks for at the sites of one name; keeps them in order as `made`.

    Args:
        layer: to be copied.
        rates: of the sites in their order, where they differ.
        rule: ``constant`` gives all sites the rate r, ``linear`` the l-th of L sites r l / L, ``first``, ``last`` one
            site alone.
        after: modules of a network without such sites: each one whose name or class matches is followed by a copy.
    """

    def __init__(
        self,
        layer: nn.Module,
        rates: Sequence[float] | None = None,
        rule: str = "constant",
        after: str | Sequence[str] | None = None,
    ) -> None:
        if rule not in RULES:
            raise ValueError(f"rule={rule!r} is none of {', '.join(RULES)}")
        if (rates is not None or rule != "constant") and "rate" not in layer._buffers:
            raise ValueError(f"{type(layer).__name__} has no rate that could differ between its sites")
        self.layer, self.rates, self.rule, self.after = layer, rates, rule, after
        self.made: list[nn.Module] = []

    def __call__(self) -> nn.Module:
        self.made.append(copy.deepcopy(self.layer))
        return self.made[-1]

    def insert(self, network: nn.Module, name: str) -> None:
        """Puts a copy called `name` after every module that `after` matches.

        Raises:
            ValueError: a pattern that matches none.
        """
        for module in modules(network, () if self.after is None else self.after):
            module.add_module(name, self())
            if type(module).forward is not nn.Sequential.forward:  # a Sequential runs by itself what is added to it
                module.register_forward_hook(partial(_then, getattr(module, name)))

    def finish(self) -> None:
        """Gives each layer its rate, once all are there.

        Raises:
            ValueError: there is none; or there are not as many rates as sites, each in [0, 1).
        """
        count = len(self.made)
        if not count:
            raise ValueError("this network has no place for it")
        if "rate" not in self.layer._buffers:
            return
        rates = self.rates or [
            RULES[self.rule](i + 1, count) * self.layer.get_buffer("rate").item() for i in range(count)
        ]
        if len(rates) != count:
            raise ValueError(f"rate={list(rates)} has {len(rates)} numbers, and the network has {count} such sites")
        with torch.no_grad():
            for layer, rate in zip(self.made, rates, strict=True):
                layer.get_buffer("rate").copy_(hyperparameters.rate(rate))


def _then(layer: nn.Module, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return layer(output)
