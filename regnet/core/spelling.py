"""One spelling for each number: Hydra makes `1e-05` of the `1e-5` that a person types."""

import math
from decimal import Decimal


def short(value: float, digits: int = 17) -> str:
    """The number as `1e-5` and not `1e-05`, `3e-4` and not `0.0003`, but `0.05` and `1000`.

    Args:
        digits: the most significant ones to keep; 17 lose nothing.
    """
    value = float(f"{value:.{digits}g}")
    if not math.isfinite(value):
        return f"{value:g}"
    exact = Decimal(repr(value)).normalize()
    plain = f"{exact:f}"
    return plain if value.is_integer() and abs(value) < 1e15 else min(plain, f"{exact:e}", key=len)
