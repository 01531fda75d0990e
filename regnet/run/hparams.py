"""TensorBoard's HPARAMS tab: one row for every run, with the same columns for all.

A session is opened before training and closed after it. No experiment summary is written, as TensorBoard
then derives the columns from all runs of the study, those that differ first.
"""

from collections.abc import Mapping
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.plugins.hparams.api_pb2 import Status
from torch.utils.tensorboard.summary import hparams


def start_session(trainer: Trainer, values: Mapping[str, Any]) -> None:
    """Announces the run under its hyper-parameters (numbers, booleans and strings)."""
    for writer in _writers(trainer):
        writer.add_summary(session_start(values))


def end_session(trainer: Trainer, metrics: Mapping[str, float], completed: bool) -> None:
    """Adds the final metrics as scalars, and closes the session."""
    for logger in trainer.loggers:
        logger.log_metrics(final_scalars(metrics), trainer.global_step)
    for writer in _writers(trainer):
        writer.add_summary(session_end(completed))
        writer.flush()


def session_start(values: Mapping[str, Any]) -> Any:
    """The summary that opens a session."""
    return hparams(dict(values), {})[1]


def final_scalars(metrics: Mapping[str, float]) -> dict[str, float]:
    """The columns of the run's row: ``when_best/val/loss`` is that of the chosen epoch.

    A column must be a scalar, and so has a chart too, of a single dot. TensorBoard orders charts by name: these come
    last, after all curves.
    """
    return {f"when_best/{name}": value for name, value in metrics.items()}


def session_end(completed: bool) -> Any:
    """The summary that closes a session."""
    end = hparams({}, {})[2]
    if not completed:
        end.value[0].metadata.plugin_data.content = _failure()
    return end


def _writers(trainer: Trainer) -> list[Any]:
    if not trainer.is_global_zero:
        return []
    loggers = (logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger))
    return [logger.experiment._get_file_writer() for logger in loggers]


def _failure() -> bytes:
    from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    info = SessionEndInfo(status=Status.STATUS_FAILURE)
    return HParamsPluginData(session_end_info=info, version=PLUGIN_DATA_VERSION).SerializeToString()
