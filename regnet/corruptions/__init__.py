"""Corruptions of images and tables by kind and severity."""

from .base import SEVERITIES
from .catalogue import COMMON, CORRUPTIONS, MNIST_C, corrupt
from .error import corruption_errors, mean_corruption_error, relative_mean_corruption_error
from .tables import TABLE_CORRUPTIONS, corrupt_table

__all__ = [
    "COMMON",
    "CORRUPTIONS",
    "MNIST_C",
    "SEVERITIES",
    "TABLE_CORRUPTIONS",
    "corrupt",
    "corrupt_table",
    "corruption_errors",
    "mean_corruption_error",
    "relative_mean_corruption_error",
]
