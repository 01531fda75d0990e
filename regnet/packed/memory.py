"""How much memory a run of a pack takes, measured on a small pack, and how much there is."""

import copy
import gc
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..core.exact import Exact
from ..data.loader import EpochSampler, TensorLoader
from .alike import in_common
from .job import CannotPack
from .member import Member
from .module import stack_of
from .noise import Noise
from .optimizers import stack as stack_optimizers
from .stack import UPDATES
from .trial import compare, is_of_a_person

OUT_OF_MEMORY = "|".join(  # what libraries below torch raise as RuntimeError
    (
        r"can't allocate memory",  # torch on a CPU
        r"could not (create|execute) a primitive",  # oneDNN
        r"out of memory",  # CUDA, and other devices, outside of torch's own allocator
        r"ALLOC(ATION)?_FAILED",  # cuBLAS, cuDNN, cuSOLVER, cuSPARSE, cuFFT
        r"CUBLAS_STATUS_NOT_INITIALIZED",  # cuBLAS, whose workspace is allocated with its handle
        r"INSUFFICIENT_RESOURCES",  # cuSPARSE
    )
)
SHARE = 0.7  # of the free memory that packs may take


class Footprint(NamedTuple):
    """Bytes of one run of a pack: all it keeps, and what one step of it works on."""

    kept: int
    step: int


def try_pack(
    members: Sequence[Member], trainer: Any, log: Any, copies: Callable[[], Sequence[Member]] | None = None
) -> Footprint:
    """Makes one stacked step of copies of two members.

    Args:
        copies: makes two of the runs anew, which are compared where they have code of a person's own, see `compare`.

    Raises:
        CannotPack: the reason, where they cannot be stacked.
        MemoryError: there is not even memory for two.
    """
    first = members[0]
    for part in first.module.modules():
        if isinstance(part, Exact) and part.unpackable:
            raise CannotPack(f"{type(part).__name__}: {part.unpackable}")
    for member in members:
        if member.others:
            raise CannotPack(f"{type(member.others[0]).__name__} acts through a callback")
        for update in member.module.updates:
            if not isinstance(update, UPDATES):
                raise CannotPack(f"{type(update).__name__} is an update of a kind that packs do not know")
        if member.data.train.lazy:
            raise CannotPack("its images are read from disk")
    try:
        if copies and is_of_a_person(first):
            compare(first, copies, trainer)
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
    rule.step(stack.params, grads, rows)
    dtype = next(iter(stack.params.values())).dtype
    stack.update(object, rows, rule.lr.to(root, dtype), rule.step_sizes(stack.params, rows))
    stack.task_metrics(rows, [x], y)
    # weights, gradients, the best weights; the optimizer's state; and what the backward pass needs
    weights, state = _bytes(stack.params), sum(_bytes(one) for one in rule.state.values())
    kept = 3 * weights + state + 2 * _bytes(stack.buffers) + 2 * activations
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
    """Whether smaller packs may help."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and re.search(OUT_OF_MEMORY, str(error)) is not None


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
