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
        writer.add_summary(hparams(dict(values), {})[1])


def end_session(trainer: Trainer, metrics: Mapping[str, float], completed: bool) -> None:
    """Adds the final metrics as scalars ``best/<name>``, and closes the session."""
    for logger in trainer.loggers:
        logger.log_metrics({f"best/{name}": value for name, value in metrics.items()}, trainer.global_step)
    end = hparams({}, {})[2]
    if not completed:
        end.value[0].metadata.plugin_data.content = _failure()
    for writer in _writers(trainer):
        writer.add_summary(end)
        writer.flush()


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
