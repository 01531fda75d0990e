"""Work on several items in as many processes as there are cores."""

import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def forked_map(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``[function(item) for item in items]``, in copies of this process on Linux.

    The copies have the items already; what `function` returns or raises must be picklable.
    """
    count = min(len(items), len(os.sched_getaffinity(0))) if sys.platform == "linux" else 1
    try:
        pool = get_context("fork").Pool(count, _begin, (function, items)) if count > 1 else None
    except OSError:  # the system starts no further process
        pool = None
    if pool is None:
        return [function(item) for item in items]
    with pool:
        return pool.map(_work, range(len(items)), chunksize=1)


_given: tuple[Callable[[Any], Any], Sequence[Any]]  # in a copy


def _begin(function: Callable[[Any], Any], items: Sequence[Any]) -> None:
    global _given
    _given = function, items


def _work(index: int) -> Any:
    function, items = _given
    return function(items[index])
