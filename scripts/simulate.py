"""regnet's statistics on made-up results: python scripts/simulate.py NAME [--samples N]

coverage     how often Student's and bootstrapped intervals hold the true mean
crossed      how often the interval over seeds × splits holds the gain on new seeds and splits, and how wide it is
family       how often one or more of several comparisons with a baseline is wrong, and how often one finds its gain
equivalence  how often arms as far apart as the margin are called equivalent, and how often equal ones are
sequential   how often seeds that are added after looking decide wrongly, and how many it takes to decide
wins         how often the interval of the probability to win holds it
"""

import argparse

from simulations import coverage, crossed, equivalence, family, sequential, wins

COMMANDS = {  # each with its number of samples
    "coverage": (coverage, 1500),
    "crossed": (crossed, 1000),
    "family": (family, 2000),
    "equivalence": (equivalence, 4000),
    "sequential": (sequential, 4000),
    "wins": (wins, 4000),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=COMMANDS)
    parser.add_argument("--samples", type=int, help="for each number; fewer are faster and less exact")
    arguments = parser.parse_args()
    simulation, usual = COMMANDS[arguments.name]
    simulation.main(arguments.samples or usual)
