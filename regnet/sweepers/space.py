"""Where a sweeper searches: the intervals and choices of the command line, told wrong before anything is trained."""

import math
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..core.errors import UserError

DIGITS = 4  # of a number that is drawn, so that folders can be read; more where an interval is narrow
REPEATED = {"seed": "seeds", "data.split_seed": "splits"}


@dataclass(frozen=True)
class Knob:
    """A key that is searched.

    Args:
        override: a sweep, or one value.
        whole: whether the key has whole numbers.
    """

    override: Override
    whole: bool = False

    def draw(self, trial: Any, technique: str = "") -> str:
        """Optuna's draw as an override. The same key of two techniques is two things to Optuna."""
        key, sweep = self.override.get_key_element(), self.override.value()
        name = f"{technique}:{key}"
        if isinstance(sweep, IntervalSweep):
            low, high = _ends(sweep)
            log = "log" in sweep.tags
            if self._draws_whole(sweep):
                return f"{key}={trial.suggest_int(name, math.ceil(low), math.floor(high), log=log)}"
            return f"{key}={rounded(trial.suggest_float(name, low, high, log=log), low, high)}"
        if self.override.is_sweep_override():
            return f"{key}={trial.suggest_categorical(name, strings(self.override))}"
        return str(self.override.input_line)

    def _draws_whole(self, sweep: IntervalSweep) -> bool:
        return self.whole or (isinstance(sweep.start, int) and isinstance(sweep.end, int))

    def check(self) -> None:
        """Raises UserError: what cannot be searched, or what would be drawn otherwise by the same command again."""
        sweep = self.override.value()
        check_sweep(self.override)
        if isinstance(sweep, IntervalSweep) and self._draws_whole(sweep):
            low, high = _ends(sweep)
            if math.floor(high) - max(math.ceil(low), 1 if "log" in sweep.tags else -math.inf) < 1:
                raise UserError(f"{self.override.input_line} must hold two whole numbers or more")


def knob(override: Override, config: DictConfig) -> Knob:
    """What an override searches, in this config. Raises UserError."""
    made = Knob(override, has_whole(config, override.key_or_group) or False)
    made.check()
    return made


def has_whole(config: DictConfig, key: str) -> bool | None:
    """Whether the config has a whole number there; None where it has nothing."""
    try:
        value = OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None
    return None if value is None else isinstance(value, int) and not isinstance(value, bool)


def check_sweep(override: Override) -> None:
    """Raises UserError: a sweep from which no sweeper can draw, or not the same again."""
    sweep, line = override.value(), override.input_line
    if not isinstance(sweep, ChoiceSweep | RangeSweep | IntervalSweep):
        return
    if isinstance(sweep, ChoiceSweep | RangeSweep) and sweep.shuffle:
        raise UserError(f"{line}: the order is another each time, so that no command goes on; leave shuffle out")
    unknown = [tag for tag in sweep.tags if tag != "log" or not isinstance(sweep, IntervalSweep)]
    if unknown:
        raise UserError(f"{line}: the tag {min(unknown)} means nothing there; there is only tag(log,interval(a,b))")
    if isinstance(sweep, ChoiceSweep) and any(isinstance(one, ChoiceSweep | RangeSweep) for one in sweep.list or ()):
        raise UserError(f"{line}: a choice cannot hold another; write all values as one choice(a,b,c)")
    if not isinstance(sweep, IntervalSweep):
        return
    low, high = _ends(sweep)
    log = "log" in sweep.tags
    if not (math.isfinite(low) and math.isfinite(high)) or low > high or (log and low <= 0):
        raise UserError(f"{line} must go up, from one finite number to another, and on a log scale begin above 0")
    if low == high:
        raise UserError(f"{line} holds one number only; give it as {override.get_key_element()}={low:g}")


def repeats_of(override: Override) -> list[int]:
    """The seeds or splits over which runs are averaged. Raises UserError."""
    check_sweep(override)
    key = override.key_or_group
    values: list[Any] = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values):
        raise UserError(
            f"{override.input_line}: {REPEATED[key]} are averaged, not searched; give them as {key}=range(3)"
        )
    return list(dict.fromkeys(values))


def strings(override: Override) -> list[str]:
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]


def rounded(value: float, low: float, high: float) -> str:
    """A number between `low` and `high` in as few digits as tell some thousand numbers between these apart."""
    narrow = max(abs(low), abs(high)) / (high - low)
    digits = min(DIGITS + max(0, math.floor(math.log10(narrow))), 17)
    short = float(f"{value:.{digits}g}")
    return f"{short:.{digits}g}" if low <= short <= high else repr(low if short < low else high)


def _ends(sweep: IntervalSweep) -> tuple[float, float]:
    return float(sweep.start or 0), float(sweep.end or 0)
