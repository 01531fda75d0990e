"""One spelling for each number: Hydra makes `1e-05` of the `1e-5` that a person types."""

import math
import re
from decimal import Decimal

FRACTION = re.compile(r"[+-]?((0|[1-9]\d*)\.?\d*|\.\d+)([eE][+-]?\d+)?")
WHOLE = re.compile(r"[+-]?\d+")


def spelled(text: str) -> str:
    """The value of an override, its numbers in their shortest spelling: `1e-05` and `0.00001` as `1e-5`, `1.0` as `1`.

    That is done to a number alone and in a list, `[0.2,1e-05]`; any other text is left as it is.
    """
    if len(text) > 2 and text.startswith("[") and text.endswith("]"):
        return f"[{','.join(spelled(part.strip()) for part in text[1:-1].split(','))}]"
    return short(float(text)) if FRACTION.fullmatch(text) and not WHOLE.fullmatch(text) else text


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
