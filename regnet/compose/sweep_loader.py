"""Hydra's config loader for hundreds of jobs that differ in numbers."""

import pickle
from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

REMEMBERED = 256  # configs, of some 0.3 MB each


class SweepLoader:
    """A `ConfigLoader` that composes jobs with the same choices once, and puts the numbers of each into a copy.

    Composing takes 90 ms, a copy one (by deepcopy six), and Hydra asks for each job twice: its sweepers compose all
    jobs to see that they can be, and its launchers compose them again.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader
        self.parse = cache(OverridesParser.create().parse_overrides)  # a ms a line, and jobs share most of theirs
        self.is_group = cache(lambda key: "." not in key and bool(loader.get_group_options(key)))
        self.composed: dict[tuple[str, ...], bytes] = {}  # by the choices, and the keys of the other overrides
        self.remembered: dict[tuple[str, ...], DictConfig] = {}  # by all overrides
        self.asked: set[tuple[str, ...]] = set()  # a job that comes again gets a config of its own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        asked = tuple(sweep_overrides)
        if (config := self.remembered.pop(asked, None)) is None:
            config = self._compose(master_config, asked)
            if asked not in self.asked and len(self.remembered) < REMEMBERED:
                self.remembered[asked] = config
        self.asked.add(asked)
        return config

    def _compose(self, master: DictConfig, asked: tuple[str, ...]) -> DictConfig:
        overrides = [override for line in asked for override in self.parse((line,))]
        numbers = [override for override in overrides if self._sets_a_value(override)]
        key = tuple(line if o not in numbers else o.get_key_element() for o, line in zip(overrides, asked, strict=True))
        if key in self.composed:
            config: DictConfig = pickle.loads(self.composed[key])
            try:
                _apply(numbers, overrides, config)
                return config
            except OmegaConfBaseException:
                pass  # the loader tells it better
        config = self.loader.load_sweep_config(master, list(asked))
        self.composed[key] = pickle.dumps(config)
        return config

    def _sets_a_value(self, override: Override) -> bool:
        """Whether it replaces one value and nothing else: no choice of a group, nothing merged, nothing new."""
        return not (
            override.is_hydra_override()
            or override.package is not None
            or override.is_add()
            or override.is_delete()
            or isinstance(override.value(), dict)
            or self.is_group(override.key_or_group)
        )


def _apply(numbers: Sequence[Override], overrides: Sequence[Override], config: DictConfig) -> None:
    """What Hydra does after it has put the files together."""
    for override in numbers:
        OmegaConf.update(config, override.key_or_group, override.value(), force_add=override.is_force_add())
    task = [override for override in overrides if not override.is_hydra_override()]
    config.hydra.overrides.task = [override.input_line for override in task]
    style = config.hydra.job.config.override_dirname
    named = sorted(str(override.input_line) for override in task if override.key_or_group not in style.exclude_keys)
    config.hydra.job.override_dirname = style.item_sep.join(named).replace("=", style.kv_sep)
