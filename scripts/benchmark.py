"""regnet's benchmarks: python scripts/benchmark.py [step | packed] [--help]

step    a training step beside a bare loop and beside the usual Lightning code
packed  packed studies beside Hydra's basic launcher and joblib's, and how time grows with the number of runs
"""

import sys

from benchmarks import packed, step

if __name__ == "__main__":
    name, rest = (sys.argv[1], sys.argv[2:]) if sys.argv[1:2] in (["step"], ["packed"]) else ("step", sys.argv[1:])
    {"step": step, "packed": packed}[name].main(rest)
