"""What a training step costs, in arithmetic operations: the same on every machine, whatever else it does."""

import copy
import logging
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ..data.loader import EpochSampler, make_loader

if TYPE_CHECKING:
    from ..data import DataModule
    from .module import RegularizedModule
    from .objective import Batch

log = logging.getLogger(__name__)

aten = torch.ops.aten
FREE = {aten._unsafe_view, aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty}  # they compute nothing


class Operations(TorchDispatchMode):
    """Counts, while it is entered, the arithmetic of all that torch computes, backward passes included.

    Matrix products, convolutions and attention by their formulas in `torch.utils.flop_counter` (a multiplication and
    an addition are two), a matrix decomposition as its entries times its shorter side, anything else as one for each
    entry that it reads or makes, whichever are more. Views and allocations are free.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        kind = func._overloadpacket
        if kind in flop_registry:
            self.total += flop_registry[kind](*args, **(kwargs or {}), out_val=out)
        elif not (func.is_view or kind in FREE):
            entries = max(map(_entries, (out, *args)), default=0)
            self.total += entries * (min(args[0].shape[-2:]) if "linalg" in func.name() and _is_matrix(args[0]) else 1)
        return out


def step_operations(module: "RegularizedModule", batch: "Batch", batches: int = 1) -> int:
    """The operations of one step of the optimizer: transforms, loss, penalties, gradients, update and constraints.

    Computed on a copy of the module; random numbers go on as if nothing had been drawn.

    Args:
        batches: whose gradients a step adds up.
    """
    device = batch[0].device
    module = copy.deepcopy(module).to(device)
    objective = module.objective.train()
    optimizer = module.make_optimizer(objective.parameters())
    for update in module.updates:
        update.attach(optimizer, objective.network)
    gradients = 0

    def closure() -> Any:  # a tensor, where torch declares a float
        nonlocal gradients
        before = counted.total
        optimizer.zero_grad()
        x, y = batch
        for transform in module.transforms:
            x, y = transform(x, y, objective)
        loss = sum(objective(x, y).values())
        loss.backward()
        gradients += counted.total - before
        return loss

    with isolate_rng(include_cuda=device.type == "cuda"), torch.enable_grad(), Operations() as counted:
        torch.manual_seed(0)
        optimizer.step(closure)
    return counted.total + (batches - 1) * gradients


def of_training(module: "RegularizedModule", data: "DataModule", device: torch.device, batches: int = 1) -> int | None:
    """`step_operations` on a full batch of the training samples; None where they cannot be counted."""
    try:
        size = min(data.batch_size, len(data.train))
        samples = data.train.subset(torch.arange(size))
        x, y = next(iter(make_loader(samples, size, EpochSampler(size, 0, shuffle=False), device)))
        return step_operations(module, (x.to(device), y.to(device)), batches)
    except Exception:  # what is wrong with a network is told by its training
        log.debug("the operations of a step cannot be counted", exc_info=True)
        return None


def _entries(value: Any) -> int:
    return sum(leaf.numel() for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _is_matrix(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 1
