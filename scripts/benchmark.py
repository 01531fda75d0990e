"""regnet's benchmarks: python scripts/benchmark.py [step | start | packed | cost | gains] [--help]

step    a training step beside a bare loop and beside the usual Lightning code
start   one run of one epoch beside the mere import of torch and Lightning
packed  packed studies beside Hydra's basic launcher and joblib's, and how time grows with the number of runs
cost    a training step with each regularizer beside the same step without it
gains   what each regularizer gains on test, from the records of experiment=defaults and experiment=strengths
"""

import sys

from benchmarks import cost, gains, packed, start, step

COMMANDS = {"step": step, "start": start, "packed": packed, "cost": cost, "gains": gains}

if __name__ == "__main__":
    name, rest = (sys.argv[1], sys.argv[2:]) if sys.argv[1:2] and sys.argv[1] in COMMANDS else ("step", sys.argv[1:])
    COMMANDS[name].main(rest)
