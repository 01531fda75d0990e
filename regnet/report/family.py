"""Several comparisons made together: their intervals hold at once, by Bonferroni.

Not Holm's procedure, which decides more but has no intervals that agree with what it decides.
"""

ALPHA = 0.05  # how often one or more of a family's intervals may miss, and one or more differences be false


def simultaneous(family: int, alpha: float = ALPHA) -> float:
    """1 − α/m, the level of each interval with which all m hold at once with a frequency of 1 − α or more.

    That is so however the comparisons depend on each other.

    Source: Dunn (1961), "Multiple comparisons among means", J. Am. Stat. Assoc. 56.
    """
    return 1 - alpha / max(1, family)


def corrected(p: float, family: int) -> float:
    """min(1, m p): below α exactly where the interval of `simultaneous` excludes 0."""
    return min(1.0, max(1, family) * p)
