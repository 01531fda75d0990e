"""Memory that steps free is kept by the process that trains."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from regnet.core.allocation import keep_memory
torch.set_num_threads(1)
def faults():
    torch.ones(2**23)  # 32 MB, above glibc's highest threshold of its own
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20): torch.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
before = faults()
keep_memory()
faults()  # the first steps after it still ask
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_is_freed_is_not_asked_for_again():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < 0.2 * before


def test_a_process_that_trains_keeps_it(monkeypatch):
    from regnet.commands import train

    called = []
    monkeypatch.setattr(train, "keep_memory", lambda: called.append(True))
    train.prepare_process()
    assert called == [True]
