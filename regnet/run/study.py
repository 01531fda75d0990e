"""The study that a run belongs to: its name, the run's place in it and the run's folder."""

import os
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..core.errors import UserError, told
from ..core.overrides import as_typed
from ..core.spelling import spelled

# In the environment, as it reaches the processes of other launchers and of DDP too.
STUDY = "REGNET_STUDY"  # its name: DDP's processes run the same command again, and must find the same folder
STUDY_RUNS = "REGNET_STUDY_RUNS"  # how many runs the study has
STUDY_SWEPT = "REGNET_STUDY_SWEPT"  # the keys that differ between them, by commas
LONGEST = 200  # bytes of a study's name: 255 is the limit of file systems, and "-tuning" is added


def position() -> str:
    """Such as ``run 3/12 regularizer=l2 seed=1`` in a study, with the overrides that differ; else nothing."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return ""
    hydra = HydraConfig.get()
    return place(hydra.job.num, as_typed(hydra.overrides.task))


def study_name(study: object) -> str:
    """The name of a study, which is that of its folder. Raises UserError for what is no name of a folder."""
    name = str(study) if isinstance(study, str | int | float) and not isinstance(study, bool) else ""
    if not name.strip(" .") or re.search(r"[/\\\x00-\x1f]", name) or len(name.encode()) > LONGEST:
        shown = told(study) if len(str(study)) < 60 else f"{str(study)[:60]}..."
        raise UserError(
            f"study={shown} must be the name of a folder: no slashes, 1 to {LONGEST} bytes; hydra.sweep.dir says where"
        )
    return name


def place(number: int, overrides: Sequence[str]) -> str:
    """The position of a study's run, from its number and all its overrides."""
    runs, swept = os.environ.get(STUDY_RUNS), os.environ.get(STUDY_SWEPT, "").split(",")
    told = [override for override in overrides if not override.startswith(("study=", "warm_start="))]
    own = [override for override in told if override.lstrip("+").partition("=")[0] in swept]
    settings = (f"{key}={spelled(value)}" for key, _, value in (text.partition("=") for text in own or told))
    return " ".join([f"run {number + 1}" + (f"/{runs}" if runs else ""), *settings])


def not_chosen(regularizer: DictConfig) -> list[str]:
    """Entries that are only settings, of regularizers that this run does not use: they name no class."""
    return [name for name, node in regularizer.items() if not (isinstance(node, DictConfig) and "_target_" in node)]


def plain(cfg: DictConfig) -> Any:
    """The resolved config; as it is where it cannot be resolved, which is then why the run failed."""
    try:
        return OmegaConf.to_container(cfg, resolve=True)
    except Exception:
        return OmegaConf.to_container(cfg, resolve=False)


def run_folder(overrides: Sequence[str], regularizer: DictConfig) -> str:
    """The folder of a study's run, from its overrides: the technique first, safe as a file name, and unique.

    It does not hold the run's number, so that a study which grows keeps its finished runs; nor the strength
    of a regularizer that is not chosen, so that a baseline is trained once, whatever is swept beside it.
    """
    idle = tuple(f"regularizer.{name}." for name in not_chosen(regularizer))
    plain = [override.lstrip("+") for override in as_typed(overrides)]
    own = [_brief(override) for override in plain if not override.startswith(("study=", *idle))]
    text = ",".join(sorted(own, key=lambda override: (_rank(override), override)))
    name = re.sub(r"[^\w.,=+\-\[\]]", "_", text)
    if name == text and len(name) <= 150:
        return name or "defaults"
    return f"{name[:150]}-{sha256(text.encode()).hexdigest()[:8]}"


def _brief(override: str) -> str:
    """A path to begin with stands for itself as a digest."""
    key, _, path = override.partition("=")
    return f"{key}={sha256(path.encode()).hexdigest()[:8]}" if key == "warm_start" else override


def _rank(override: str) -> int:
    ranks = {"regularizer=": 0, "regularizer.": 1, "seed=": 3}
    return next((rank for prefix, rank in ranks.items() if override.startswith(prefix)), 2)


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
OmegaConf.register_new_resolver("study_name", study_name, replace=True)
