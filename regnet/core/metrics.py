"""What is measured of a trained network, and which way each metric is better.

For training, sweepers and reports alike: standard library only.
"""

from collections.abc import Collection

from .errors import shown

BETTER = {"loss": "min", "accuracy": "max", "nll": "min", "ece": "min", "rmse": "min", "r2": "max"}
SIGNS = {"min": 1, "max": -1}  # by which a metric is multiplied so that less is better
OF_TASKS = ("accuracy", "rmse", "loss")  # a task is judged by the first of these that it has
AUTO = "auto"  # a monitor: that by which the task of the data is judged
TIES = "val/loss"  # parts validations of which a monitor is the same


def direction(monitor: str, mode: str | None = None) -> str:
    """``min`` or ``max``: which way a monitor such as ``val/accuracy`` is better.

    Args:
        mode: of a metric that is none of regnet's.

    Raises:
        ValueError: nothing is known of a metric of that name.
    """
    split, _, name = str(monitor).partition("/")
    if split == "val" and name in BETTER:
        return BETTER[name]
    if mode is None:
        known = ", ".join(f"val/{known}" for known in BETTER)
        raise ValueError(
            f"monitor={shown(monitor)} must be one of {known}; or what a callback of yours logs in validation, with "
            "mode=min or mode=max"
        )
    return mode


def judged_by(names: Collection[str]) -> str:
    """The metric by which a task is judged: accuracy of a classification, rmse of a regression."""
    return next((name for name in OF_TASKS if name in names), "loss")
