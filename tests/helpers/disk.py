"""A disk that is full, as the system tells a program of it: no file may become longer than a limit."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from regnet.run.ledger import Ledger


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Of this process and those that it starts."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def full_disk(epoch: int, size: int = 0) -> Iterator[None]:
    """From this epoch of all runs on no file becomes longer than `size` bytes; 10,000 have no room for weights."""
    validated, seen = Ledger.validated, 0

    def filling(self: Ledger, *arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == epoch:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        validated(self, *arguments)

    with no_file_longer_than(resource.RLIM_INFINITY), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "validated", filling)
        yield
