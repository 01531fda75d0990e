"""What is measured of a trained network, and which way each metric is better.

For training, sweepers and reports alike: standard library only.
"""

from .errors import shown

BETTER = {"loss": "min", "accuracy": "max", "nll": "min", "ece": "min", "rmse": "min", "r2": "max"}
SIGNS = {"min": 1, "max": -1}  # by which a metric is multiplied so that less is better


def direction(monitor: str) -> str:
    """``min`` or ``max``: which way a monitor such as ``val/accuracy`` is better.

    Raises:
        ValueError: nothing of that name can be watched.
    """
    split, _, name = str(monitor).partition("/")
    if split != "val" or name not in BETTER:
        raise ValueError(f"monitor={shown(monitor)} must be one of {', '.join(f'val/{known}' for known in BETTER)}")
    return BETTER[name]
