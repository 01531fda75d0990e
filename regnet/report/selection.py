"""What a figure shows of many arms: as many as there are colours, the baseline among them."""

from collections.abc import Callable, Iterable, Sequence

from .study import Arm

SHOWN = 6  # lines, colours or panels in one figure


def namer(arms: Iterable[Arm], least: int = 2) -> Callable[[Arm], str]:
    """By what to tell arms apart: their labels where those are few, else their techniques if those are `least`."""
    arms = list(arms)
    many = len({arm.label for arm in arms}) > SHOWN and len({arm.technique for arm in arms}) >= least
    return (lambda arm: arm.technique) if many else (lambda arm: arm.label)


def first(names: Sequence[str], kept: str | None = None) -> list[str]:
    """The first six; `kept` in place of the last of them if it is one of the others."""
    shown = list(names[:SHOWN])
    return [*shown[:-1], kept] if kept is not None and kept in names[SHOWN:] else shown


def part(names: Sequence[str], kept: str | None, what: str, verb: str = "Shown") -> str:
    """The sentence that says what `first` took, `names` being in the order of validation; empty if that is all."""
    if len(names) <= SHOWN:
        return ""
    count, rest = (SHOWN - 1, ", and the baseline") if kept in names[SHOWN:] else (SHOWN, "")
    return f" {verb} are the best {count} of {len(names)} {what} by validation{rest}."
