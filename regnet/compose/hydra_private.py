"""All private names of Hydra and OmegaConf that regnet uses: what they offer under no public name.

pyproject.toml holds Hydra to the releases that have them; `tests/test_hydra_private.py` tells which one has moved.
"""

from functools import lru_cache
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.utils import get_args_parser
from omegaconf import Container, _utils, base
from omegaconf._utils import get_omega_conf_dumper
from omegaconf.grammar_parser import parse

__all__ = ["BasicLauncher", "get_args_parser", "represent_text", "root"]

represent_text = get_omega_conf_dumper().str_representer  # for YAML: quotes text that OmegaConf would read as a number

# The tree of a text such as `${data.name}` is only read, and takes a millisecond each time; the texts are few
base.parse = _utils.parse = lru_cache(4096)(parse)


def root(node: Container) -> Any:
    """The config that a node is part of."""
    return node._get_root()
