"""What happens around training: when, never maths."""

from .last_checkpoint import AtomicCheckpointIO, LastCheckpoint
from .metrics_csv import MetricsCsv
from .progress import Progress
from .regularize import Regularize

__all__ = ["AtomicCheckpointIO", "LastCheckpoint", "MetricsCsv", "Progress", "Regularize"]
