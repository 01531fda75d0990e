"""The data of several runs."""

import copy
import json
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from ..data import DataModule
from .build import load_data
from .make import literal


class SharedData:
    """Data modules of runs, which share the samples that are the same.

    Args:
        most: data sets that are kept; None for all.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.whole: dict[str, DataModule] = {}
        self.variants: dict[tuple[str, int | None, float], DataModule] = {}

    def of(self, cfg: DictConfig) -> DataModule:
        settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
        seed, size, noise = (settings.pop(name) for name in ("seed", "train_size", "label_noise"))
        key = json.dumps(settings, sort_keys=True, default=str)
        if key not in self.whole:
            if self.most is not None and len(self.whole) >= self.most:
                self.whole.clear()
                self.variants.clear()
            whole = copy.deepcopy(cfg)
            with open_dict(whole):  # resolved, as others of its settings may refer to these two
                whole.data = literal({**settings, "seed": seed, "train_size": None, "label_noise": 0.0})
            self.whole[key] = load_data(whole)
        if (key, size, noise) not in self.variants:
            variant = self.whole[key].variant(size, noise, seed)
            if variant.inputs == "standardize":
                variant.statistics()  # once for all seeds
            self.variants[key, size, noise] = variant
        data = copy.copy(self.variants[key, size, noise])
        data.seed = seed
        return data
