"""Which runs may be one stack: those that differ in nothing but tensors that are stacked.

A buffer is stacked, so that whoever registers one declares that runs may differ in it. What a computation takes from
anywhere else, such as a number that is an attribute, it would take from the first run for all.
"""

import copyreg
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from numbers import Number
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor

from ..training.trace import HOOKS
from .member import Member

LARGE = 1000  # entries, from which on a tensor is not written out
OF_TORCH = frozenset(vars(nn.Module()))  # attributes of any module


def alike(members: Sequence[Member]) -> tuple[list[list[Member]], set[str]]:
    """The members in groups that may be stacked, and what their groups differ in, such as ``DropBlock.block_size``."""
    groups: dict[tuple[tuple[str, str, str], ...], list[Member]] = {}
    for member in members:
        groups.setdefault(tuple(sorted(in_common(member.module))), []).append(member)
    differing = set().union(*groups) - set(next(iter(groups))).intersection(*groups)
    return list(groups.values()), {name for _, name, _ in differing}


def in_common(module: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Path, name and description of all that runs of one stack have in common."""
    yield "", "whether batches are transformed", str(bool(module.transforms))
    parts = {part: module.get_submodule(part) for part in ("objective", "updates")}
    yield from held(parts, known=module.modules())


def held(parts: Mapping[str, nn.Module], known: Iterable[nn.Module] = ()) -> Iterator[tuple[str, str, str]]:
    """Path, name and description of all that modules hold but the numbers of their parameters and buffers.

    Args:
        parts: by the beginning of their paths.
        known: modules which they may refer to, and which are described elsewhere.
    """
    registered: set[int] = set()
    for one in (*known, *parts.values()):
        registered |= {id(one) for of in (one.modules, one.parameters, one.buffers) for one in of()}
    for prefix, part in parts.items():
        for path, one in part.named_modules(prefix=prefix):
            kind = type(one).__name__
            yield path, kind, f"{type(one).__module__}.{type(one).__qualname__}"
            for key, tensor in (*one.named_parameters(recurse=False), *one.named_buffers(recurse=False)):
                yield path, f"the shape of {kind}.{key}", f"{tensor.shape} {tensor.dtype} {tensor.requires_grad}"
            for key in vars(one).keys() - OF_TORCH:
                yield path, f"{kind}.{key}", described(vars(one)[key], registered)
            for key in HOOKS:
                if hooks := getattr(one, key):  # under numbers that count all hooks there are
                    yield path, f"a hook of {kind}", described(list(hooks.values()), registered)


def described(value: Any, known: Set[int] = frozenset()) -> str:
    """A text that is equal for equal values, whatever they are made of.

    Args:
        known: ids of objects that are compared elsewhere.
    """
    if value is None or isinstance(value, str | bytes | range | Number):
        return repr(value)
    if id(value) in known:
        return "..."
    known = known | {id(value)}  # an object may hold itself

    def each(values: Any) -> str:
        return f"[{', '.join(described(one, known) for one in values)}]"

    if isinstance(value, Tensor) and is_functorch_wrapped_tensor(value):
        return f"{type(value).__name__} of a call under vmap"
    if isinstance(value, torch.Generator):
        return f"{value.get_state().tolist()}"
    if isinstance(value, Tensor):
        return _of_tensor(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return each(part for item in value.items() for part in item)
    if isinstance(value, Set):
        return f"{sorted(described(one, known) for one in value)}"
    if isinstance(value, Sequence):
        return each(value)
    parts: Any
    try:
        if isinstance(value, FunctionType):
            held = [cell.cell_contents for cell in value.__closure__ or ()]
            parts = value.__module__, value.__qualname__, value.__defaults__, value.__kwdefaults__, *held
        else:
            reduce = copyreg.dispatch_table.get(type(value))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of iterators
                parts = reduce(value) if reduce else value.__reduce_ex__(4)  # as it would be pickled
    except Exception:  # nobody can look into it, such as a lock
        return described(type(value))
    return parts if isinstance(parts, str) else each(list(one) if isinstance(one, Iterator) else one for one in parts)


def _of_tensor(value: Tensor) -> str:
    if value.requires_grad:  # what is computed from parameters, as under weight norm, is no setting
        return f"{value.shape}"
    if value.layout != torch.strided or value.is_quantized or value.numel() < LARGE:
        return f"{value.dtype} {value.tolist()}"
    entries = value.detach().resolve_conj().resolve_neg().cpu().contiguous().view(-1)
    return f"{value.dtype} {value.shape} {hashlib.sha256(entries.view(torch.uint8).numpy().tobytes()).hexdigest()}"
