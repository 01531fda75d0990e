"""Overrides of the command line."""

from collections.abc import Sequence

from omegaconf import OmegaConf


def as_typed(overrides: Sequence[str]) -> list[str]:
    """Overrides that Hydra keeps in a config, which would resolve the ``${...}`` in them."""
    return OmegaConf.to_container(overrides, resolve=False) if OmegaConf.is_config(overrides) else list(overrides)
