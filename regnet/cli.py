"""The command line: where the configs are, how runs and their folders are called, how errors are told."""

import gc
import os
import re
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .config_files import check_files
from .console import printable
from .ending import exit_codes
from .errors import Diverged, UserError, near, told
from .quoting import as_typed
from .report.callback import STUDY, STUDY_RUNS, STUDY_SWEPT
from .spelling import spelled

OF_HYDRA = (  # how errors begin that are of other types, where Hydra did not expect what it was given
    r"Config group override must be",
    r"argument of type '.*' is not iterable",
    r"\w+(Launcher|Sweeper)\.__init__\(\) got an unexpected keyword",
)
LONGEST = 200  # bytes of a study's name: 255 is the limit of file systems, and "-tuning" is added


def config_folder() -> Path:
    """conf/ beside the package (an installed wheel) or beside the package's folder (a checkout)."""
    package = Path(__file__).resolve().parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def config_folders() -> list[Path]:
    """Where a run's configs come from: regnet's own folder, and those that a person added (--config-dir)."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else ()
    own = [Path(source.path) for source in sources if source.schema == "file"]
    return list(dict.fromkeys([config_folder(), *own]))


@exit_codes()
def launch(task: Callable[[DictConfig], Any], config_name: str, own_modules: bool = True) -> None:
    """Runs `task` under Hydra; what a person can mend is told in one sentence, with exit code 1.

    With `own_modules` those in the current folder come before all others.
    HYDRA_FULL_ERROR=1 in the environment shows tracebacks instead.
    """
    os.environ["MPLBACKEND"] = "agg"  # a notebook's own is not there for its commands
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits leaves its core to another run
    gc.disable()  # until all is imported (see `train.settle`): else it looks through the same modules again and again
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
    except BrokenPipeError:
        raise  # see `exit_codes`
    except Exception as error:  # Hydra raises what it finds wrong as anything
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
    parser.error = _refuse
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


def stop(error: Exception, config_name: str) -> NoReturn:
    """Ends the program with one sentence and exit code 1."""
    print(f"{Path(sys.argv[0]).name}: {printable(sentence(error, config_name))}", file=sys.stderr)
    sys.exit(1)


def origin(error: Exception) -> Exception:
    """What a class raised that Hydra could not make."""
    while isinstance(error, InstantiationException) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def sentence(error: Exception, config_name: str) -> str:
    """One sentence for any error: a mistake as it is told, anything else with its type."""
    error = origin(error)
    if isinstance(error, UserError | Diverged):
        return str(error)
    if isinstance(error, HydraException | OmegaConfBaseException) or re.match("|".join(OF_HYDRA), str(error)):
        from .explain import explain

        return explain(error, config_folder(), config_name, sys.argv[1:])
    place = next((text for text in sys.argv[1:] if re.match(r"hydra\.(run|sweep)\.dir=", text)), None)
    if isinstance(error, OSError) and place:
        return f"{place} cannot be used ({error.strerror})"
    if "Only one of --run" in str(error):
        return "-m with --cfg, --info or --shell-completion: those are of one run, so leave -m out"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


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
