"""Memory that steps free is kept by the process that trains."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
if {prepared}:
    from regnet.commands.train import prepare_process
    prepare_process()
torch.set_num_threads(1)
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(2**23)  # 32 MB, above glibc's highest threshold of its own
before = faults()
for _ in range(20): torch.ones(2**23)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_is_freed_is_not_asked_for_again():
    def faults(prepared):
        program = [sys.executable, "-c", FAULTS.format(prepared=prepared)]
        return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)

    assert faults(prepared=True) < 0.2 * faults(prepared=False)
