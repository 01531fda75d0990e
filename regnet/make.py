"""Objects from config nodes, with one sentence where that fails."""

from collections.abc import Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from .errors import UserError


def make(node: Any, key: str, **extra: Any) -> Any:
    """Instantiates a config node. Raises UserError in one sentence that names `key` if that fails."""
    try:
        return instantiate(node, _convert_="all", **extra)
    except InstantiationException as error:
        raise UserError(f"{_failed_key(error, key)}: {_reason(error)}") from error


def given(overrides: Sequence[str], *keys: str) -> str:
    """The overrides of `keys` and below, as a person typed them."""
    return " ".join(text for text in overrides if text.lstrip("+").replace("=", ".").partition(".")[0] in keys)


def _failed_key(error: InstantiationException, key: str) -> str:
    _, found, full_key = str(error).rpartition("full_key: ")
    return full_key if found and full_key.startswith(key) else key


def _reason(error: InstantiationException) -> str:
    cause = error
    while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split("full_key:")[0].split())
    return (
        text
        if isinstance(cause, ValueError | UserError | InstantiationException)
        else f"{type(cause).__name__}: {text}"
    )
