"""The real command line inside the test's process, as the start of one takes 5 s; and in one of its own."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import regnet.commands.evaluate
import regnet.commands.inspect
import regnet.commands.train
import regnet.planning.command
import regnet.report.command
from tests.helpers.quick_hydra import quick_hydra

PROGRAMS = Path(sys.executable).parent
TINY = ["model.widths=[8]", "trainer.max_epochs=2", "data.train_size=60", "callbacks.last.every_seconds=1000"]


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def train(*arguments: str, cwd: Path) -> Done:
    """A study's page takes seconds, so it is made only where the arguments ask for it."""
    if "-m" in arguments:
        place = arguments.index("-m") + 1
        arguments = (*arguments[:place], "hydra.callbacks.study_report.page=false", *arguments[place:])
    return call(regnet.commands.train.main, "regnet-train", arguments, cwd)


def evaluate(*arguments: str, cwd: Path) -> Done:
    return call(regnet.commands.evaluate.main, "regnet-evaluate", arguments, cwd)


def inspect(*arguments: str, cwd: Path) -> Done:
    return call(regnet.commands.inspect.main, "regnet-inspect", arguments, cwd)


def plan(*arguments: str, cwd: Path) -> Done:
    return call(regnet.planning.command.main, "regnet-plan", arguments, cwd)


def report(*arguments: str, cwd: Path) -> Done:
    return call(regnet.report.command.main, "regnet-report", arguments, cwd)


def train_into(folder: Path, *arguments: str) -> dict[str, Any]:
    """The record of a run that ends well, in `folder`."""
    done = train(f"hydra.run.dir={folder}", *arguments, cwd=folder.parent)
    assert done.code == 0, done.out + done.err
    return record(folder)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text())


def start(program: str | Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.Popen:
    """A process of its own; a `program` without a folder is one of the environment's console commands."""
    command = [sys.executable, program] if str(program).endswith(".py") else [PROGRAMS / program]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("REGNET_", "HYDRA_"))}
    return subprocess.Popen(
        [*command, *arguments],
        cwd=cwd,
        env=inherited | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def finish(process: subprocess.Popen, seconds: float = 120) -> Done:
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return Done(process.returncode, out, err)


def children(pid: int) -> list[int]:
    """The processes that a process has started itself."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _status(int(path.name)).get("PPid") == str(pid)]


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended: where nobody asks how it ended, it stays as a zombie."""
    return _status(pid).get("State", "Z")[0] != "Z"


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def call(main: Callable[[], None], name: str, arguments: tuple[str, ...], cwd: Path) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with quick_hydra(), _restored(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        os.chdir(cwd)
        sys.argv = [name, *arguments]
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = exit.code or 0
    return Done(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """All that a program may change of its process is put back: it expects to be its only one."""
    here, argv, path, environment = Path.cwd(), sys.argv, list(sys.path), dict(os.environ)
    forget_networks()
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in ("regnet", "py.warnings"))]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    for key in [key for key in os.environ if key.startswith(("REGNET_", "HYDRA_"))]:
        del os.environ[key]
    GlobalHydra.instance().clear()
    with warnings.catch_warnings():
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            logging.captureWarnings(False)
            for logger, (level, handlers) in zip(loggers, before, strict=True):
                for handler in set(logger.handlers) - set(handlers):
                    handler.close()
                logger.level, logger.handlers = level, handlers
            for name in logging.Logger.manager.loggerDict:  # which `job_logging: disabled` has silenced
                logging.getLogger(name).disabled = False
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None
            os.chdir(here)
            sys.argv, sys.path[:] = argv, path
            os.environ.clear()
            os.environ.update(environment)
            forget_networks()


def forget_networks() -> None:
    """Each test writes a `mynet` of its own."""
    for name in [name for name in sys.modules if name.startswith("mynet")]:
        del sys.modules[name]
