"""regnet: the test bench for regularization in PyTorch.

Nothing heavy is imported here: `regnet-train --help` must answer at once.
"""

__version__ = "0.1.0"
