"""What happens around training: when, never maths."""

from .averages import Ema, Swa
from .best_checkpoint import BestCheckpoint
from .early_stopping import EarlyStopping
from .last_checkpoint import AtomicCheckpointIO, LastCheckpoint
from .metrics_csv import MetricsCsv
from .no_profiler import NoProfiler
from .progress import Progress
from .regularize import Regularize
from .snapshots import Ensemble, NetworkCallback, Snapshots
from .step_limit import StepLimit
from .time_limit import TimeLimit

__all__ = [
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "EarlyStopping",
    "Ema",
    "Ensemble",
    "LastCheckpoint",
    "MetricsCsv",
    "NetworkCallback",
    "NoProfiler",
    "Progress",
    "Regularize",
    "Snapshots",
    "StepLimit",
    "Swa",
    "TimeLimit",
]
