"""What is measured of a trained network."""

from .calibration import Calibration
from .corruption import Corruption
from .measure import Found, Measure
from .ood import OOD
from .part import Part
from .robustness import Robustness
from .selective import Selective

__all__ = ["OOD", "Calibration", "Corruption", "Found", "Measure", "Part", "Robustness", "Selective"]
