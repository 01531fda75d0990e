"""How much corruptions hurt a network, beside another one."""

from collections.abc import Mapping, Sequence

Errors = Mapping[str, Sequence[float]]  # by kind, at each severity


def corruption_errors(errors: Errors, baseline_errors: Errors) -> dict[str, float]:
    """CE_c = Σ_s E_{s,c} / Σ_s E^base_{s,c} of each kind c (Hendrycks and Dietterich 2019, section 4), 1 for equal.

    Args:
        errors: E_{s,c}, the share of wrong answers at each severity s.
        baseline_errors: those of the network to compare with, of the same kinds and severities.

    Raises:
        ValueError: kinds or severities differ, or the other network makes no error.

    >>> corruption_errors({"fog": [0.1, 0.3]}, {"fog": [0.3, 0.5]})
    {'fog': 0.5}
    """
    return _ratios(errors, baseline_errors, 0.0, 0.0)


def mean_corruption_error(errors: Errors, baseline_errors: Errors) -> float:
    """mCE = mean over the kinds of CE_c, see `corruption_errors`; the paper gives it in per cent.

    >>> mean_corruption_error({"fog": [0.25, 0.25], "snow": [0.75, 0.75]}, {"fog": [0.5, 0.5], "snow": [0.5, 0.5]})
    1.0
    """
    return _mean(corruption_errors(errors, baseline_errors))


def relative_mean_corruption_error(
    errors: Errors, clean_error: float, baseline_errors: Errors, baseline_clean_error: float
) -> float:
    """The mean over the kinds of Σ_s (E_{s,c} - E_clean) / Σ_s (E^base_{s,c} - E^base_clean).

    What corruptions add to the error, of a network that may be better without them (Hendrycks and Dietterich 2019,
    section 4). Raises ValueError as `corruption_errors`, and where corruptions add nothing to the other network's.

    >>> round(relative_mean_corruption_error({"fog": [0.2, 0.3]}, 0.1, {"fog": [0.4, 0.6]}, 0.2), 6)
    0.5
    """
    return _mean(_ratios(errors, baseline_errors, clean_error, baseline_clean_error))


def _ratios(errors: Errors, baseline: Errors, clean: float, baseline_clean: float) -> dict[str, float]:
    if not errors or errors.keys() != baseline.keys():
        raise ValueError(f"both networks need errors of the same kinds, got {[*errors]} and {[*baseline]}")
    found = {}
    for kind, values in errors.items():
        if not values or len(values) != len(baseline[kind]):
            raise ValueError(f"{kind} has errors at {len(values)} and {len(baseline[kind])} severities")
        added = sum(baseline[kind]) - len(values) * baseline_clean
        if added <= 0:
            raise ValueError(f"{kind} gives the other network no error to compare with")
        found[kind] = (sum(values) - len(values) * clean) / added
    return found


def _mean(ratios: Mapping[str, float]) -> float:
    return sum(ratios.values()) / len(ratios)
