"""The study that a run belongs to: its name, the run's place in it and the run's folder."""

import os
import re
from collections.abc import Collection, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..core.errors import UserError, shown
from ..core.overrides import Override, read, written
from .identity import WATCHING, not_chosen, of_folder

# In the environment, as it reaches the processes of other launchers and of DDP too.
STUDY = "REGNET_STUDY"  # its name: DDP's processes run the same command again, and must find the same folder
STUDY_RUNS = "REGNET_STUDY_RUNS"  # how many runs the study has
STUDY_SWEPT = "REGNET_STUDY_SWEPT"  # the keys that differ between them, by commas
LONGEST_FOLDER = 150  # bytes of a run's, before its digest
LONGEST = 200  # bytes of a study's name: 255 is the limit of file systems, and "-tuning" is added


def position() -> str:
    """Such as ``run 3/12 regularizer=l2 seed=1`` in a study, with the overrides that differ; else nothing."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return ""
    hydra = HydraConfig.get()
    return place_in_study(hydra.job.num, hydra.overrides.task)


def study_name(study: object) -> str:
    """The name of a study, which is that of its folder. Raises UserError for what is no name of a folder."""
    name = str(study) if isinstance(study, str | int | float) and not isinstance(study, bool) else ""
    if not name.strip(" .") or re.search(r"[/\\\x00-\x1f]", name) or len(name.encode()) > LONGEST:
        text = shown(study) if len(str(study)) < 60 else f"{str(study)[:60]}..."
        raise UserError(
            f"study={text} must be the name of a folder: no slashes, 1 to {LONGEST} bytes; hydra.sweep.dir says where"
        )
    return name


def study_of(study: object, otherwise: str | None = None) -> str | None:
    """The name of the study that the running job belongs to; `otherwise` for a run by itself."""
    in_study = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return study_name(study) if in_study and study else otherwise


def place_in_study(number: int, overrides: Sequence[str]) -> str:
    """The position of a study's run, from its number and all its overrides."""
    runs, swept = os.environ.get(STUDY_RUNS), os.environ.get(STUDY_SWEPT, "").split(",")
    told = [override for override in read(overrides) if override.key not in ("study", "warm_start")]
    own = [override for override in told if override.key in swept]
    settings = (f"{override.sign}{override.key}={override.spelled}" for override in own or told)
    return " ".join([f"run {number + 1}" + (f"/{runs}" if runs else ""), *settings])


def resolved_config(cfg: DictConfig) -> Any:
    """The resolved config; as it is where it cannot be resolved, which is then why the run failed."""
    try:
        return OmegaConf.to_container(cfg, resolve=True)
    except Exception:
        return OmegaConf.to_container(cfg, resolve=False)


def run_folder(overrides: Sequence[str], regularizer: DictConfig) -> str:
    """The folder of a study's run, from its overrides as values: the technique first, safe as a file name, and unique.

    It does not hold the run's number, so that a study which grows keeps its finished runs; nor its loggers and what is
    measured at its end, which make no other run; nor the strength of a regularizer that is not chosen, so that a
    baseline is trained once, whatever is swept beside it.
    """
    idle = not_chosen(regularizer)
    leaves = [leaf for one in read(overrides) for leaf in one.leaves]
    in_epochs = any(one.parts[0] == "measure" and one.parts[-1] == "at" and one.value == "epoch" for one in leaves)
    apart = {"study", *WATCHING} - ({"measure"} if in_epochs else set())
    own = [one for one in leaves if one.parts[0] not in apart and not _is_of(one, idle)]
    last = {one.target: one for one in own}.values()
    text = ",".join(_named(one) for one in sorted(last, key=lambda one: (_rank(one), one.target)))
    name = re.sub(r"[^\w.,=+\-\[\]]", "_", text)
    if name == text and len(name.encode()) <= LONGEST_FOLDER:
        return name or "defaults"
    kept = name.encode()[:LONGEST_FOLDER].decode(errors="ignore")
    return f"{kept}-{sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"


def _is_of(override: Override, regularizers: Collection[str]) -> bool:
    return override.parts[0] == "regularizer" and len(override.parts) > 2 and override.parts[1] in regularizers


def _named(override: Override) -> str:
    """What it sets; a run to begin with stands for itself as a digest, wherever it lies."""
    if override.sign == "~":
        return f"~{override.target}"
    value = override.value
    if override.key == "warm_start":
        value = sha256(of_folder(str(value)).encode()).hexdigest()[:8]
    elif override.key == "regularizer":
        value = override.options[0] if len(override.options) == 1 else override.options or "none"
    return f"{override.target}={written(value, repr, override.parts[-1])}"


def _rank(override: Override) -> int:
    return {"regularizer": 1 if len(override.parts) > 1 else 0, "seed": 3}.get(override.parts[0], 2)


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
OmegaConf.register_new_resolver("study_name", study_name, replace=True)
OmegaConf.register_new_resolver("study_of", study_of, replace=True)
OmegaConf.register_new_resolver("name_of", lambda folder: Path(folder).name, replace=True)
