"""The start of a command under Hydra, and its end where something is wrong."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from omegaconf import DictConfig

from ..compose.config_files import check_files, config_folder
from ..compose.hydra_private import get_args_parser
from ..compose.mistakes import sentence
from ..core.console import printable
from ..core.deferred import defer
from ..core.ending import exit_codes
from ..core.errors import Unwritable, UserError, near
from ..run.study import STUDY


@exit_codes()
def launch(task: Callable[[DictConfig], Any], config_name: str, own_modules: bool = True) -> None:
    """Runs `task` under Hydra; what a person can mend is told in one sentence, with exit code 1.

    With `own_modules` those in the current folder come before all others.
    HYDRA_FULL_ERROR=1 in the environment shows tracebacks instead.
    """
    os.environ["MPLBACKEND"] = "agg"  # a notebook's own is not there for its commands
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits leaves its core to another run
    defer()
    gc.disable()  # until all is imported, see `train.prepare_process`: else it goes through the modules over and over
    if own_modules:
        sys.path.insert(0, str(Path.cwd()))  # model._target_=my.pkg.Net
    app = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(task)
    if os.environ.get("HYDRA_FULL_ERROR"):
        app()
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise what it would print
    try:
        _check_arguments()
        app()
    except (Exception, Unwritable) as error:  # Hydra raises what it finds wrong as anything
        stop(error, config_name)
    finally:
        gc.enable()
        for name in ("HYDRA_FULL_ERROR", STUDY):  # an interrupted study does not reach the end that takes its name back
            os.environ.pop(name, None)


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (--hydra-help shows the options)")


def _check_arguments() -> None:
    """Puts flags first, as Hydra does not take them among overrides, and looks at what Hydra would not tell well.

    Raises:
        UserError: a flag that is unknown, a config file that is none, one folder for all runs of a study.
    """
    parser, given = get_args_parser(), sys.argv[1:]
    parser.error = _refuse  # type: ignore[method-assign]  # on this parser alone
    known, unknown = parser.parse_known_intermixed_args(given)
    if unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        raise UserError(f"{unknown[0]} is no option{near(unknown[0], flags)} (--hydra-help shows the options)")
    left = list(known.overrides)
    for override in left:
        given.remove(override)
    sys.argv[1:] = [*given, *left]
    for override in left:
        if override.startswith("hydra.sweep.subdir=") and "${" not in override:
            raise UserError(f"{override} is one folder for all runs of a study, each of which needs its own")
    if known.config_dir:
        check_files(Path(known.config_dir), left)


def stop(error: Exception | Unwritable, config_name: str) -> NoReturn:
    """Ends the program with one sentence and exit code 1."""
    print(f"{Path(sys.argv[0]).name}: {printable(sentence(error, config_name))}", file=sys.stderr)
    sys.exit(1)
