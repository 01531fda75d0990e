"""Which optimizers have a stacked form."""

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from .. import optimizers as own
from . import layerwise
from .adaptive import Adagrad, NAdam, RMSprop
from .optimizers import SGD, Adam, AdamW, Stacked, Tensors

KINDS: dict[type[Optimizer], type[Stacked]] = {
    torch.optim.SGD: SGD,
    torch.optim.Adam: Adam,
    torch.optim.AdamW: AdamW,
    torch.optim.RMSprop: RMSprop,
    torch.optim.Adagrad: Adagrad,
    torch.optim.NAdam: NAdam,
    own.LARS: layerwise.LARS,
    own.LAMB: layerwise.LAMB,
}


def stack(optimizers: Sequence[Optimizer], params: Tensors) -> Stacked:
    """The stacked form of K optimizers of one kind. Raises ValueError for a kind or option that has none."""
    first = optimizers[0]
    if type(first) not in KINDS:
        raise ValueError(f"{type(first).__name__} has no stacked form; {', '.join(k.__name__ for k in KINDS)} have")
    if any(map(torch.is_complex, params.values())):
        raise ValueError("complex parameters have no stacked form")
    for optimizer in optimizers:
        if len(optimizer.param_groups) > 1:
            raise ValueError("several parameter groups have no stacked form")
        for option in ("amsgrad", "maximize", "dampening"):
            if optimizer.param_groups[0].get(option):
                raise ValueError(f"{option} has no stacked form")
    return KINDS[type(first)](params, [optimizer.param_groups[0] for optimizer in optimizers])
