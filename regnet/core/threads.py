"""How many threads a run computes with.

The count follows from the work, and not from what else the machine does: another count adds numbers up in another
order, and the same run is to give the same bits.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

LARGE = 2e8  # operations of a step, 5 ms of one core; a smaller one gains little by threads
ASKED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # of the environment, where a person has chosen
FOUND = torch.get_num_threads()  # torch's own choice, or the person's


def cores() -> int:
    """The threads that torch found room for, no more than the process's control group has cores."""
    return max(1, math.ceil(min(FOUND, quota())))


def quota(system: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> float:
    """The cores that a container or a scheduler lets this process use; torch counts those of the machine."""
    least = math.inf
    with suppress(OSError):
        group = process.read_text().strip().rpartition("::")[2].strip("/")
        for folder in (Path(group), *Path(group).parents):
            with suppress(OSError, ValueError):  # "max": any number
                most, period = (system / folder / "cpu.max").read_text().split()
                least = min(least, int(most) / int(period))
    with suppress(OSError, ValueError):  # version 1 of control groups
        limit, span = (int((system / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        least = min(least, limit / span) if limit > 0 else least
    return least


def available() -> int:
    """What a person has set in this process, else all `cores`."""
    current = torch.get_num_threads()
    return cores() if current == FOUND else current


def chosen(operations: int | None) -> int:
    """The threads for steps of so many operations: one for small steps, else all; what a person has set stays."""
    asked = torch.get_num_threads() != FOUND or any(name in os.environ for name in ASKED)
    small = operations is not None and operations < LARGE
    return 1 if small and not asked else available()


@contextmanager
def computing(threads: int | None) -> Iterator[None]:
    """Computes with so many threads, as far as there are; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if threads is None else max(1, min(threads, max(before, cores()))))
    try:
        yield
    finally:
        torch.set_num_threads(before)
