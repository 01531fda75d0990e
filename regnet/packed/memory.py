"""How much memory a run of a pack takes, measured on a small pack, and how much there is."""

import copy
import gc
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..core.exact import Exact
from ..data.loader import EpochSampler, TensorLoader
from ..regularizers import SAM, Proximal
from ..training.callbacks import Ema, Snapshots, Swa
from .alike import in_common
from .job import CannotPack
from .member import Member
from .module import stack_of
from .noise import Noise
from .rules import stack as stack_optimizers
from .stack import UPDATES

SHARE = 0.7  # of the free memory that packs may take


class Footprint(NamedTuple):
    """Bytes of one run of a pack: all it keeps, and what one step of it works on."""

    kept: int
    step: int


def try_pack(members: Sequence[Member], trainer: Any, log: Any) -> Footprint:
    """Makes one stacked step of copies of two members.

    Raises:
        CannotPack: the reason, where they cannot be stacked.
        MemoryError: there is not even memory for two.
    """
    first = members[0]
    for part in first.module.modules():
        if isinstance(part, Exact) and part.unpackable:
            raise CannotPack(f"{type(part).__name__}: {part.unpackable}")
    for member in members:
        strange = [*member.others, *(one for one in member.makers if type(one) not in (Ema, Swa, Snapshots))]
        if strange:
            raise CannotPack(f"{type(strange[0]).__name__} acts through a callback")
        if len(member.makers) > 1:
            raise CannotPack(f"{' and '.join(type(one).__name__ for one in member.makers)} each make another network")
        if member.snapshots and member.scheduler:
            raise CannotPack("Snapshots set the learning rate themselves")
        for update in member.module.updates:
            if not isinstance(update, UPDATES):
                raise CannotPack(f"{type(update).__name__} is an update of a kind that packs do not know")
        if any(isinstance(one, SAM) for one in member.module.updates) and any(
            transform.of_objective for transform in member.module.transforms
        ):
            raise CannotPack("a transform that sees the objective is to do so twice a step, under SAM")
        if any(isinstance(one, SAM) for one in member.module.updates) and member.accumulates > 1:
            raise CannotPack("SAM takes all accumulated batches again")
        if member.data.train.lazy:
            raise CannotPack("its images are read from disk")
    try:
        return _one_step(members[:2], trainer)
    except CannotPack:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise MemoryError(str(error)) from error
        log.debug("cannot be stacked", exc_info=True)
        reason = " ".join(str(error).split())[:120]
        raise CannotPack(
            f"model={first.cfg.model._target_} cannot be stacked: {type(error).__name__}: {reason}"
        ) from error


def _one_step(members: Sequence[Member], trainer: Any) -> Footprint:
    root, precision = trainer.strategy.root_device, trainer.precision_plugin
    pair = [copy.copy(member) for member in members]
    for member in pair:
        member.module = precision.convert_module(copy.deepcopy(member.module)).to(root)
        member.objective = member.module.objective
    stack = stack_of(pair, recorded=False)
    before = set(in_common(pair[0].module))
    rule = stack_optimizers([member.optimizer for member in pair], stack.params)
    data = pair[0].data
    size = min(data.batch_size, min(len(member.data.train) for member in pair))
    samples = data.train.subset(torch.arange(size))
    x, y = next(iter(TensorLoader(samples, size, EpochSampler(size, 0, shuffle=False), root)))
    x, rows, noise = precision.convert_input(x), slice(0, len(pair)), Noise(root)
    noise.begin([0] * len(pair))
    activations = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal activations
        activations += tensor.nbytes
        return tensor

    with precision.train_step_context(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        xs, ys = (torch.stack([tensor] * len(pair)) for tensor in (x, y))  # the harder case, as of several seeds
        _, grads = stack.gradients(rows, xs, ys, noise, stacked=True)
    if changed := sorted(name for _, name, _ in set(in_common(pair[0].module)) - before):
        raise CannotPack(f"{changed[0]} changes when it is called, and is no buffer")  # one for all runs, and often
    dtype = next(iter(stack.params.values())).dtype
    stack.before_step(rows, rule.lr.to(root, dtype), grads, noise)
    rule.step(stack.params, grads, rows)
    proximal = any(isinstance(update, Proximal) for update in pair[0].module.updates)
    stack.after_step(rows, rule.step_sizes(stack.params, rows) if proximal else None)
    stack.task_metrics(rows, [x], y)
    # weights, gradients, the best weights, with an average that and what it takes the place of; the optimizer's state;
    # and what the backward pass needs
    weights, state = _bytes(stack.params), sum(_bytes(one) for one in rule.state.values())
    kept = (
        (3 + 2 * bool(pair[0].average) + (pair[0].accumulates > 1)) * weights
        + state
        + 2 * _bytes(stack.buffers)
        + 2 * activations
    )
    return Footprint(kept // len(pair), (2 * weights + state + activations) // len(pair))


def room(kept: int, root: torch.device, processes: int = 1) -> int:
    """How many runs that keep so many bytes the memory has room for, in each of so many processes; at least one."""
    return max(1, int(SHARE * _free(root) / processes / max(kept, 1)))


def free() -> None:
    """Lets go of the stacks that are done: Lightning's Trainer and module hold on to each other."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch on a CPU and oneDNN raise RuntimeError
    return re.search("can't allocate memory|could not (create|execute) a primitive", str(error)) is not None


def _bytes(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _free(root: torch.device) -> int:
    if root.type == "cuda":
        free()  # what torch keeps for later counts as taken
        return torch.cuda.mem_get_info(root)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux: half of what there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
