"""`regnet.train`: one run from a script, a notebook or a test, whose process is left as it was."""

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ..compose.config_files import config_folder, own_hydra
from ..compose.load import TrainedRun, own_modules
from ..compose.mistakes import sentence
from ..compose.trainer import processes
from ..compose.trust import renamed, targets
from ..core.console import ConsoleHandler, LogFile
from ..core.ending import whole_output
from ..core.errors import Unwritable, UserError
from ..core.overrides import Override, as_typed, written
from ..run.life import Run
from .train import live, prepare_process

LOGGERS = ("regnet", "py.warnings", "lightning", "lightning.pytorch", "lightning.fabric")
QUIET = "lightning.pytorch.utilities.rank_zero"


def train(*overrides: str, folder: str | Path | None = None) -> TrainedRun:
    """Trains one run as `regnet-train` does with the same overrides: ``regnet.train("data=digits", "regularizer=l2")``.

    The run lies in a folder like any other, with its record, checkpoints and log. What is printed is what the command
    prints. Classes of your own, ``model._target_=my.pkg.Net``, are found as any import is, and in the current folder;
    those of a script or notebook itself are ``__main__.Net``.

    Args:
        folder: of the run; by default a new one in ``outputs/runs``. One that holds this very run is not trained again;
            one where it was interrupted is gone on with; another run in it is replaced.

    Returns:
        The run, whose status is ``completed``, ``cut`` (by ``trainer.max_time`` or ``trainer.fast_dev_run``) or
        ``diverged``, which has no network.

    Raises:
        UserError: a mistake in an override, or an error that ended the run, which is recorded as failed; then
            ``__cause__`` is the error itself. A run that cannot write a file, as the disk is full, has not failed: the
            same call with its `folder` goes on from there.
        KeyboardInterrupt: the run is recorded as interrupted; the same call with its `folder` goes on from there.
    """
    _check(overrides)
    place = () if folder is None else (f"hydra.run.dir={written(str(folder))}",)
    typed = [*overrides, *(() if folder is None else (f"folder={folder}",))]
    with _process_as_it_was(), own_modules(), own_hydra(config_folder(), "train") as hydra:
        run = _trained(hydra, [*overrides, *place], partial(sentence, config_name="train", typed=typed))
    record = run.record
    if record["status"] == "failed":
        raise UserError(record["reason"]) from run.error
    allow = [node["_target_"] for _, node in targets(renamed(record["config"]))]  # all is of this person's overrides
    return TrainedRun(run.folder, record, tuple(allow), str(run.folder))


def _check(overrides: Sequence[str]) -> None:
    for one in overrides:
        if not isinstance(one, str):
            raise UserError(f"{one!r} must be text such as 'seed=1': each override is an argument of its own")
        if one.startswith("-"):
            raise UserError(f"{one} is an option of regnet-train; regnet.train takes overrides such as 'seed=1'")
        if Override.guess(one).key == "hydra.mode":
            raise UserError(f"{one}: regnet.train trains one run; regnet-train -m trains a study")


def _trained(hydra: Any, overrides: list[str], tell: Callable[[Exception], str]) -> Run:
    ended: list[Run | Exception] = []

    def task(cfg: DictConfig) -> None:
        try:
            ended.append(_live(cfg, tell))
        except Exception as error:  # which Hydra would print
            ended.append(error)

    try:
        hydra.run("train", task, overrides, with_log_configuration=False)
    except Exception as error:  # Hydra raises what it finds wrong as anything
        ended.append(error)
    except Unwritable as error:
        raise UserError(str(error)) from error.__cause__
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # of which Lightning has made the end of the program
            raise KeyboardInterrupt from None
        raise
    run = ended[0]
    if isinstance(run, Exception):
        raise run if isinstance(run, UserError) else UserError(tell(run)) from run
    return run


def _live(cfg: DictConfig, tell: Callable[[Exception], str]) -> Run:
    if (several := processes(cfg.trainer)) > 1:
        raise UserError(f"trainer.devices: regnet.train trains in this process alone, and {several} need regnet-train")
    hydra = HydraConfig.get()
    folder, launcher = Path(hydra.runtime.output_dir), hydra.runtime.choices["hydra/launcher"]
    run = Run(cfg, folder, as_typed(hydra.overrides.task), launcher, tell)
    if (earlier := run.begin()) is not None:
        run.record = earlier
        return run
    with _log_in(folder):
        live(run)
    return run


@contextmanager
def _log_in(folder: Path) -> Iterator[None]:
    """Lines go to the screen and into the run's log, as those of the command; not through the program's own logging."""
    console, file = ConsoleHandler(logging.INFO), LogFile(folder / "train.log", encoding="utf-8")
    console.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in LOGGERS[:3]:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [console, file], False
    logging.getLogger("regnet").setLevel(logging.DEBUG)
    try:
        with whole_output():
            yield
    finally:
        file.close()


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Takes back what training changes of the process, as far as the program could notice."""
    environment, path = dict(os.environ), list(sys.path)
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()} if main else {}
    loggers = {name: logging.getLogger(name) for name in (*LOGGERS, QUIET)}
    logs = {name: (one.level, list(one.handlers), one.propagate) for name, one in loggers.items()}
    captures = warnings.showwarning.__module__ == "logging"
    collects, flushes = gc.isenabled(), sys.float_info.min / 2 == 0
    exact = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    dtype = torch.get_default_dtype()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    gc.enable()
    with (
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        try:
            prepare_process()
            torch.set_default_dtype(torch.float32)  # as the command has it
            yield
        finally:
            logging.captureWarnings(captures)
            for name, (level, own, propagate) in logs.items():
                loggers[name].setLevel(level)
                loggers[name].handlers, loggers[name].propagate = own, propagate
            for number, handler in handlers.items():
                if signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
            os.environ.clear()
            os.environ.update(environment)
            sys.path[:] = path
            torch.set_flush_denormal(flushes)
            torch.set_default_dtype(dtype)
            torch.use_deterministic_algorithms(exact[0], warn_only=exact[1])
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
            if not collects:
                gc.disable()
