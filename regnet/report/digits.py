"""How numbers are written wherever a report shows them: with the digits that mean something, whatever their size."""

from math import floor, log10

from ..core.spelling import short

LONGEST = 6  # digits before the point
EXACT = 7  # significant digits of float32


def number(mean: float, half_width: float | None = None, most: int | None = None) -> str:
    """`97.22 ± 0.35`: the half width to two significant digits, the mean alike; `2.00e-5 ± 0.31e-5`.

    Args:
        half_width: None where there is none: four significant digits then, or four decimals of what is larger than 1.
        most: decimals, of a metric that has a scale of its own, as percent have. Of others what is below 0.001 or
            above 999,999 has a power of ten.
    """
    size = max(abs(mean), half_width or 0.0)
    exponent = floor(log10(size)) if size else 0
    if most is None and not -4 < exponent < LONGEST:
        texts = _fixed(mean / 10**exponent, None if half_width is None else half_width / 10**exponent, 2)
        return " ± ".join(f"{text}e{exponent}" for text in texts)
    if most is None:
        most = max(0, EXACT - 1 - exponent) if half_width else 3 - exponent if exponent < 0 else min(4, 5 - exponent)
    return " ± ".join(_fixed(mean, half_width, most))


def signed(mean: float, half_width: float | None = None, most: int | None = None) -> str:
    """The same with a plus."""
    text = number(mean, half_width, most)
    return text if text.startswith("-") else f"+{text}"


def brief(value: float, decimals: int) -> str:
    """So many decimals; two digits and a power of ten where these would show none of it, or a row of digits."""
    if value == 0 or 10**-decimals <= abs(value) < 10**LONGEST:
        return _rounded(value, decimals)
    exponent = floor(log10(abs(value)))
    return f"{value / 10**exponent:.1f}e{exponent}"


def concise(value: float) -> str:
    """As in a sentence: `55`, `0.5123`, `1234.5`, `2e-5`."""
    return short(value, 4 if abs(value) < 1000 else LONGEST)


def _fixed(mean: float, half_width: float | None, most: int) -> list[str]:
    if half_width is None:
        return [_rounded(mean, most)]
    decimals = min(most, max(0, 1 - floor(log10(half_width)))) if half_width else most
    return [_rounded(mean, decimals), _rounded(half_width, decimals)]


def _rounded(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # without the minus of -0.00
