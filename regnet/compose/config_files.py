"""Where configs come from; a person's own are read here first, as Hydra does not say in a sentence what is wrong."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase

from ..core.errors import UserError
from ..core.overrides import Override, read

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def config_folder() -> Path:
    """conf/ beside the package (an installed wheel) or beside the package's folder (a checkout)."""
    package = Path(__file__).resolve().parents[1]
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def config_folders() -> list[Path]:
    """Where a run's configs come from: regnet's own folder, and those that a person added (--config-dir)."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else ()
    own = [Path(source.path) for source in sources if source.schema == "file"]
    return list(dict.fromkeys([config_folder(), *own]))


@contextmanager
def own_hydra(folder: Path, name: str = "app") -> Iterator[Any]:
    """A Hydra over the configs in `folder`. The program may itself be under Hydra, which then goes on as before.

    Args:
        name: of the job.
    """
    shared, config = GlobalHydra.instance(), HydraConfig.instance()
    base, job = VersionBase.instance(), JobRuntime.instance()
    before = shared.hydra, config.cfg, base.version_base, job.get("name")
    shared.clear()
    config.cfg = None
    try:
        with initialize_config_dir(str(folder), job_name=name, version_base="1.3"):
            yield GlobalHydra.instance().hydra
    finally:
        GlobalHydra.set_instance(shared)
        shared.hydra, config.cfg, base.version_base, job_name = before
        job.set("name", job_name)


def check_files(folder: Path, overrides: Sequence[str | Override]) -> None:
    """Reads each file in `folder` that an override chooses, as ``regularizer=mine`` does. Raises UserError."""
    for override in read(overrides):
        for name in re.findall(r"[\w-]+", str(override.value)):  # a sweep too
            if (file := folder / override.key / f"{name}.yaml").is_file():
                read_config(file)


def read_config(file: Path) -> dict[Any, Any]:
    """The keys and values of a config file, nothing of them resolved.

    Raises:
        UserError: it is not UTF-8, no YAML, or something else than keys and values.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), LOADER)
    except (OSError, UnicodeError) as error:
        raise UserError(f"{file} cannot be read ({error}); a config file is text in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise UserError(f"{file} is no YAML{place}: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(content, dict | None):
        raise UserError(f"{file} must hold lines such as KEY: VALUE, and holds something else")
    return content or {}
