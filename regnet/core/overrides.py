"""Overrides of the command line as values. Their text is read here and nowhere else, by Hydra's own parser.

Nothing of Hydra is imported before an override is read: a report may start without it.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from .spelling import short

# Lightning takes 1 of these as one batch, and 1.0 as all batches
SHARES = {f"limit_{part}_batches" for part in ("train", "val", "test", "predict")} | {
    "overfit_batches",
    "val_check_interval",
}
SINGLE = (str, int, type(None))
PLAIN = (bool, int, float, str, list, dict, type(None))
LONGEST = 2**12  # characters of a guess, and no `range(`: a stranger's may stand for more than memory holds


@dataclass(frozen=True)
class Override:
    """``+model@net.widths=[8]`` in its parts.

    Args:
        text: as it was typed.
        key: of a value or of a group, without signs and package.
        value: plain data; None where something is taken away; the text of a sweep.
        sign: ``+`` adds, ``++`` sets or adds, ``~`` takes away, else nothing.
        package: where the option of a group goes, ``net`` in ``model@net=mlp``.
    """

    text: str
    key: str
    value: Any = None
    sign: str = ""
    package: str | None = None

    @classmethod
    def read(cls, text: str) -> "Override":
        """Raises ValueError: Hydra cannot read it."""
        from hydra.errors import HydraException

        try:
            return _read(text)
        except (HydraException, RecursionError) as error:
            raise ValueError(" ".join(str(error).split())) from error

    @classmethod
    def guess(cls, text: str) -> "Override":
        """The same; of a text that Hydra cannot read, what comes before the ``=`` and after."""
        try:
            if len(text) <= LONGEST and "range(" not in text and text[:1] not in "=@":
                return cls.read(text)
        except ValueError:
            pass
        key, equals, value = text.partition("=")
        name = key.lstrip("+~")
        read = cls.guess(f"x={value}").value if equals and name != "x" else value
        return cls(text, name, read, key[: len(key) - len(name)])

    @property
    def value_text(self) -> str:
        """What was typed behind the ``=``."""
        return self.text.partition("=")[2]

    @property
    def target(self) -> str:
        """The key, with its package where it has one."""
        return self.key if self.package is None else f"{self.key}@{self.package}"

    @property
    def parts(self) -> list[str]:
        """Of the key: ``regularizer.l2.strength`` has three."""
        return self.key.split(".")

    @property
    def spelled(self) -> str:
        """The value as `written`."""
        return written(self.value, key=self.parts[-1])

    @property
    def leaves(self) -> "list[Override]":
        """Itself, or what a mapping sets one by one: ``optimizer={lr: 1}`` is ``optimizer.lr=1``."""
        if not isinstance(self.value, dict) or not self.value:
            return [self]
        below = (replace(self, key=f"{self.key}.{name}", value=value) for name, value in self.value.items())
        return [leaf for one in below for leaf in one.leaves]

    @property
    def options(self) -> list[str]:
        """The names that a choice gives: one, or those of a list."""
        return [str(name) for name in (self.value if isinstance(self.value, list) else [self.value]) if name != ""]


def read(overrides: Iterable[str | Override]) -> list[Override]:
    """Each of the overrides, which Hydra keeps in a config that would resolve the ``${...}`` in them."""
    return [one if isinstance(one, Override) else Override.guess(one) for one in as_typed(overrides)]


def as_typed(overrides: Iterable[Any]) -> list[Any]:
    """The texts, which Hydra keeps in a list of a config."""
    if not isinstance(overrides, list | tuple):
        from omegaconf import OmegaConf

        texts: Any = OmegaConf.to_container(overrides, resolve=False)
        return texts
    return list(overrides)


def canonical(value: Any, key: str = "") -> Any:
    """Plain data, so that two values are one where, and only where, they mean the same.

    The order of a mapping's keys means nothing, and a float that is whole is that whole number, other than those of
    `SHARES`. Text is never a number, ``true`` never 1.
    """
    if isinstance(value, float):
        return int(value) if value.is_integer() and key not in SHARES else value
    if isinstance(value, SINGLE):  # most are: to ask for an abstract class takes long
        return value
    if isinstance(value, Mapping):
        return {str(name): canonical(value[name], str(name)) for name in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [canonical(item, key) for item in value]
    return value


def written(value: Any, number: Callable[[float], str] = short, key: str = "") -> str:
    """A value as a person would type it, the same text for all that is the same: `1e-5`, `1`, `[0.2,1e-5]`, `'007 '`.

    Text has quotes where Hydra would read something else without them.
    """
    return _written(canonical(value, key), number)


def _written(value: Any, number: Callable[[float], str]) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_written(item, number)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(item, number) for item in value) + "]"
    if isinstance(value, float):  # a whole one is a share
        return number(value) if math.isfinite(value) and not value.is_integer() else repr(value)
    return as_text(value) if isinstance(value, str) else json.dumps(value, default=str)


@lru_cache(2**14)
def as_text(value: str) -> str:
    """Text as it is typed: in quotes where Hydra would read something else without them."""
    if re.fullmatch(r"[a-z_][a-z0-9_-]*", value) and value not in ("true", "false", "null", "inf", "nan"):
        return value  # most are, and need no parser
    from hydra.core.override_parser.types import Quote, QuotedString

    try:
        if Override.read(f"x=[{value}]").value == [value]:
            return value
    except ValueError:
        pass
    return QuotedString(value, Quote.single).with_quotes()


@lru_cache(2**14)
def _read(text: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found = OverridesParser.create().parse_override(text)
    sign = "~" if found.is_delete() else "++" if found.is_force_add() else "+" if found.is_add() else ""
    value = None if text == found.get_key_element() else found.value()
    value = value if isinstance(value, PLAIN) else text.partition("=")[2]
    return Override(text, found.key_or_group, value, sign, found.package)
