"""regnet: the test bench for regularization in PyTorch.

Nothing heavy is imported here: `regnet-train --help` must answer at once.
"""

from .core import moved as _moved  # noqa: F401  (old names of modules)

__version__ = "0.2.0"
