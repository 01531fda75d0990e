"""regnet's benchmarks: python scripts/benchmark.py [step | start | packed | jobs | page | cost | ...] [--help]

step    a training step beside a bare loop and beside the usual Lightning code
start   one run of one epoch beside the mere import of torch and Lightning
jobs    what each further job of a study costs that is trained one by one
packed  packed studies beside Hydra's basic launcher and joblib's, and how time grows with the number of runs
page    what the page of a study adds to it, and what the page of 1,000 runs takes
cost    a training step with each regularizer beside the same step without it
gains   what each regularizer gains on test, from the records of experiment=defaults and experiment=strengths
floor   a training step beside what its operations and bytes take on this machine at the least
corruptions  what each corruption of images costs, and pictures of them
gpu     the tests that need a GPU, then steps and packed studies on it, within nine minutes
"""

import sys
from importlib import import_module

COMMANDS = ("step", "start", "packed", "jobs", "page", "cost", "gains", "floor", "corruptions", "gpu")

if __name__ == "__main__":
    name, rest = (sys.argv[1], sys.argv[2:]) if sys.argv[1:2] and sys.argv[1] in COMMANDS else ("step", sys.argv[1:])
    import_module(f"benchmarks.{name}").main(rest)
