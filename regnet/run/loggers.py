"""All loggers of a run: its hyper-parameters when it begins, its result when it ends.

TensorBoard's HPARAMS tab has one row for every run, with the same columns for all. No experiment summary is written, as
TensorBoard then derives the columns from all runs of the study, those that differ first.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning import Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from torch.utils.tensorboard.summary import hparams

from ..core.errors import UserError, described
from ..core.files import unwritable
from .identity import OF_DATA, chosen
from .ledger import Ledger
from .study import resolved_config

log = logging.getLogger(__name__)

PARTS = ("data", "model", "optimizer", "scheduler", "trainer")
SUCCESS, FAILED, STOPPED = "success", "failed", "KILLED"  # as Lightning's loggers call it, and MLflow the last

MLFLOW_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


def hyperparameters(cfg: DictConfig) -> dict[str, float | str]:
    """All settings of a run, wherever they were given: numbers, booleans and texts under their keys.

    ``regularizer`` names the techniques, as ``dropout+l2``; ``model``, ``data`` and the like the choices.
    """
    techniques = "+".join(chosen(cfg.regularizer)) or "none"
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    values = {group: option for group, option in choices.items() if group in PARTS} | {"regularizer": techniques}
    settings = resolved_config(cfg)
    parts = {name: part for name, part in settings.items() if name in (*PARTS, "regularizer", "seed", "monitor")}
    places = [f"{node}.{key}" for node in ("data", "data.source") for key in OF_DATA]
    left_out = ("data.classes", "data.schema", *places)  # long lists, and this machine's
    return values | {key: value for key, value in _leaves(parts) if not key.startswith(left_out)}


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, float | str]]:
    if isinstance(node, Mapping) and all(str(name).isidentifier() for name in node):
        for name, item in node.items():
            yield from _leaves(item, f"{key}.{name}" if key else name)
    elif node is not None:
        yield key, node if isinstance(node, int | float | str) else str(node)


def start_session(loggers: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Announces the run under its hyper-parameters (numbers, booleans and strings).

    Returns:
        by which its loggers' own stores know it, as far as they are a store, for a run that goes on later.

    Raises:
        UserError: a logger fails, as one does whose server cannot be reached.
    """
    for begun, (name, logger) in enumerate(loggers.items()):
        try:
            with _impatient():
                _start(logger, values)
        except Exception as error:
            break_off(dict(list(loggers.items())[:begun]))
            raise UserError(_told(name, error)) from error
    stores = {name: one for name, one in loggers.items() if isinstance(one, MLFlowLogger | WandbLogger)}
    return {name: str(logger.version) for name, logger in stores.items()}


def _start(logger: Any, values: Mapping[str, Any]) -> None:
    if isinstance(logger, MLFlowLogger):
        logger.experiment.update_run(logger.run_id, "RUNNING")  # which an earlier part of it has ended
    if isinstance(logger, TensorBoardLogger):  # whose own way writes an experiment summary
        logger.experiment._get_file_writer().add_summary(session_start(values))
    else:
        logger.log_hyperparams(dict(values))


@contextmanager
def _impatient() -> Iterator[None]:
    """MLflow asks a server that does not answer for 14 s, not for the 4 minutes of its default."""
    if MLFLOW_RETRIES in os.environ:
        yield
        return
    os.environ[MLFLOW_RETRIES] = "3"
    try:
        yield
    finally:
        del os.environ[MLFLOW_RETRIES]


def end_session(loggers: Mapping[str, Any], metrics: Mapping[str, Any], step: int) -> None:
    """Adds the final metrics, as ``when_best/val/loss`` for that of the chosen epoch, and closes the session.

    A column of the HPARAMS tab must be a scalar, and so has a chart too, of a single dot. TensorBoard orders charts by
    name: these come last, after all curves.

    One that fails now is told in a warning, as the run has its result. Raises an error of a disk that is full.
    """
    final = {f"when_best/{name}": value for name, value in metrics.items() if value is not None}
    full: list[Exception] = []
    for name, logger in loggers.items():
        try:
            if final:
                logger.log_metrics(final, step)
            _end(logger, SUCCESS)
        except Exception as error:
            if unwritable(error, Path()):
                full.append(error)
            else:
                log.warning("%s; the run has its result all the same", _told(name, error))
    if full:
        raise full[0]


def break_off(loggers: Mapping[str, Any], goes_on: bool = False) -> None:
    """Closes the session of a run that has no result, or `goes_on` later: nothing stays open for the study's next run.

    It does not fail, as it would hide the error that ended the run.
    """
    status = STOPPED if goes_on else FAILED
    for logger in loggers.values():
        with suppress(Exception):
            _end(logger, status)


def _end(logger: Any, status: str) -> None:
    if isinstance(logger, TensorBoardLogger):
        writer = logger.experiment._get_file_writer()
        if status != STOPPED:  # TensorBoard believes the first end that it finds
            writer.add_summary(session_end(status == SUCCESS))
        writer.flush()
    else:
        logger.finalize(status)
    if isinstance(logger, WandbLogger):  # else it stays open until the program ends
        logger.experiment.finish(exit_code=0 if status == SUCCESS else 1)


def _told(name: str, error: Exception) -> str:
    return f"logger.{name}: {described(error)}"


def session_start(values: Mapping[str, Any]) -> Any:
    """TensorBoard's summary that opens a session."""
    return hparams(dict(values), {})[1]


def session_end(completed: bool) -> Any:
    """TensorBoard's summary that closes a session."""
    end = hparams({}, {})[2]
    if not completed:
        info = SessionEndInfo(status=Status.STATUS_FAILURE)
        data = HParamsPluginData(session_end_info=info, version=PLUGIN_DATA_VERSION)
        end.value[0].metadata.plugin_data.content = data.SerializeToString()
    return end


class Overheard(Logger):
    """Passes on to the ledger what modules and callbacks log by ``self.log``.

    Without any other logger too, where Lightning would drop it.
    """

    def __init__(self, ledger: Ledger, trainer: Trainer) -> None:
        super().__init__()
        self.ledger, self.trainer = ledger, trainer

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return self.trainer.default_root_dir

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning's own step is the one before, in a validation and at the end of an epoch
        self.ledger.add(dict(_numbers(metrics)), self.trainer.global_step)
        self.ledger.flush()


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        with suppress(TypeError, ValueError, RuntimeError):  # text, a tensor of several numbers
            yield name, float(value)


@contextmanager
def overheard(loggers: Iterable[Any], by: Overheard) -> Iterator[None]:
    """What a callback tells one logger alone, as by ``trainer.logger.log_metrics``, is passed on too.

    Lightning ends no logger meanwhile: that comes when the result is there, see `end_session`.
    """
    loggers = list(loggers)

    def both(tell: Callable[..., None], metrics: Mapping[str, float], step: int | None = None) -> None:
        tell(metrics, step)
        by.log_metrics(metrics, step)

    for logger in loggers:
        logger.log_metrics = partial(both, logger.log_metrics)
        if not isinstance(logger, TensorBoardLogger):  # which `_end` does not close
            logger.finalize = lambda status: None
    try:
        yield
    finally:
        for logger in loggers:
            vars(logger).pop("finalize", None)
            del logger.log_metrics
