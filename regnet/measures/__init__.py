"""What is measured of a trained network."""

from .calibration import Calibration
from .measure import Found, Measure
from .ood import OOD
from .part import Part
from .selective import Selective

__all__ = ["OOD", "Calibration", "Found", "Measure", "Part", "Selective"]
