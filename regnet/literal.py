"""Texts of data and records in a config: OmegaConf reads `${x}` as a reference, and `???` as a value that is absent."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

OmegaConf.register_new_resolver("chars", lambda *codes: "".join(map(chr, codes)), replace=True)


def literal(value: Any) -> Any:
    """Plain data whose texts mean themselves once they lie in a config and are resolved there."""
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literal(item) for item in value]
    if isinstance(value, str) and ("${" in value or value == "???"):
        return "${chars:" + ",".join(str(ord(char)) for char in value) + "}"
    return value
