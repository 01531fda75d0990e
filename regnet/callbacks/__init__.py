"""What happens around training: when, never maths."""

from .ema import Ema
from .last_checkpoint import AtomicCheckpointIO, LastCheckpoint
from .metrics_csv import MetricsCsv
from .no_profiler import NoProfiler
from .progress import Progress
from .regularize import Regularize

__all__ = ["AtomicCheckpointIO", "Ema", "LastCheckpoint", "MetricsCsv", "NoProfiler", "Progress", "Regularize"]
