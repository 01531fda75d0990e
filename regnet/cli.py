"""The command line: where the configs are, and Hydra's errors as one sentence."""

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .errors import UserError


def config_folder() -> Path:
    """conf/ beside the package (an installed wheel) or beside the package's folder (a checkout)."""
    package = Path(__file__).resolve().parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def launch(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Runs `task` under Hydra; what a person can mend is told in one sentence, with exit code 1.

    HYDRA_FULL_ERROR=1 in the environment shows tracebacks instead.
    """
    sys.path.insert(0, str(Path.cwd()))  # a person's own modules: model._target_=my.pkg.Net
    app = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(task)
    if os.environ.get("HYDRA_FULL_ERROR"):
        app()
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise what it would print
    try:
        app()
    except UserError as error:
        _exit(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _exit(explain(error, sys.argv[1:]))


def explain(error: Exception, arguments: Sequence[str] = ()) -> str:
    """What Hydra or OmegaConf complains about, in one sentence that names the key and what would be right."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        options = [option for option in error.options if not option.endswith("/")]
        return f"{group}={name} is not one of {', '.join(options)}{_near(name, options)}"
    if match := re.match(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1], arguments)
    if match := re.match(r"Missing mandatory value: (\S+)", text):
        return f"{match[1]} has no value; give it as {match[1]}=VALUE"
    if match := re.match(r"Error parsing override '(.*)'", text):
        return f"{match[1]!r} cannot be read as KEY=VALUE ({_second_line(text)}); quote it for the shell"
    return f"{' '.join(text.split())}"


def run_folder(dirname: str) -> str:
    """The folder of a study's run, from its overrides: readable, safe as a file name, and unique.

    It does not hold the run's number, so that a study which grows keeps its finished runs.
    """
    name = re.sub(r"[^\w.,=+\-\[\]]", "_", dirname.replace("regularizer.", "").replace("hydra.", ""))
    if name == dirname and len(name) <= 120:
        return name or "defaults"
    return f"{name[:120]}-{sha256(dirname.encode()).hexdigest()[:8]}"


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)


def _unknown_key(key: str, arguments: Sequence[str]) -> str:
    override = next((argument for argument in arguments if argument.startswith(f"{key}=")), key)
    from hydra import compose
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    # the same command without overrides of values: what keys there are under the chosen options
    del compose, GlobalHydra, OverridesParser
    return override


def _near(name: str, options: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _second_line(text: str) -> str:
    return (text.splitlines() + [""])[1].strip()


def _exit(sentence: str) -> NoReturn:
    print(f"{Path(sys.argv[0]).name}: {sentence}", file=sys.stderr)
    sys.exit(1)
