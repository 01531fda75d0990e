"""regnet's statistics on made-up results: python scripts/simulate.py NAME [--samples N]

coverage     how often Student's and bootstrapped intervals hold the true mean
crossed      how often the interval over seeds × splits holds the gain on new seeds and splits, and how wide it is
family       how often one or more of several comparisons with a baseline is wrong, and how often one finds its gain
equivalence  how often arms as far apart as the margin are called equivalent, and how often equal ones are
sequential   how often seeds that are added after looking decide wrongly, and how many it takes to decide
wins         how often the interval of the probability to win holds it
"""

import sys

from simulations import coverage, crossed, equivalence, family, sequential, wins

COMMANDS = {
    "coverage": coverage,
    "crossed": crossed,
    "family": family,
    "equivalence": equivalence,
    "sequential": sequential,
    "wins": wins,
}

if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[name].main(sys.argv[2:])
