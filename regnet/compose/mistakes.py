"""How errors are told: a mistake in one sentence, anything else with its type."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException

from ..core.errors import Diverged, Unwritable, UserError, described
from ..core.files import unwritable
from .config_files import config_folder

OF_HYDRA = (  # how errors of other types begin that Hydra raises for input it did not expect
    r"Config group override must be",
    r"argument of type '.*' is not iterable",
    r"\w+(Launcher|Sweeper)\.__init__\(\) got an unexpected keyword",
)


def origin(error: Exception | Unwritable) -> Exception | Unwritable:
    """What a class raised that Hydra could not make."""
    while isinstance(error, InstantiationException) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def sentence(error: Exception | Unwritable, config_name: str, typed: Sequence[str] | None = None) -> str:
    """One sentence for any error: a mistake as it is told, anything else with its type.

    Args:
        typed: the overrides from which it came; those of the command line.
    """
    typed = sys.argv[1:] if typed is None else typed
    error = unwritable(error, Path.cwd()) or origin(error)
    if isinstance(error, UserError | Diverged | Unwritable):
        return str(error)
    if isinstance(error, HydraException | OmegaConfBaseException) or re.match("|".join(OF_HYDRA), str(error)):
        from ..compose.explain import explain

        return explain(error, config_folder(), config_name, typed)
    if isinstance(error, OSError) and error.filename:
        return f"{_as_typed(error.filename, typed)} cannot be used ({error.strerror})"
    if isinstance(error, MemoryError):
        return "memory ran out; the same command goes on when there is more, a smaller data.batch_size takes less"
    if "Only one of --run" in str(error):
        return "-m with --cfg, --info or --shell-completion: those are of one run, so leave -m out"
    return described(error)


def _as_typed(path: str, typed: Sequence[str]) -> str:
    """The override that asks for the folder `path`, or for one in it; `path` itself without one."""
    for text in typed:
        key, _, folder = text.partition("=")
        place = Path(folder).absolute()
        if key in ("hydra.run.dir", "hydra.sweep.dir", "folder") and Path(path).absolute() in (place, *place.parents):
            return text
    return path
