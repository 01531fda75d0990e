"""`regnet-train`: the life of one run, from its config to its record; under -m, of a study's runs.

Nothing heavy is imported until a run starts: `--help` and `--cfg job` answer at once.
"""

import gc
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

from ..compose.mistakes import sentence
from ..core.allocation import keep_memory
from ..core.ending import at_steps
from ..core.files import quiet_threads, stops_if_unwritable
from ..core.overrides import as_typed
from ..run.life import Run, score
from ..run.record import Record, flat
from ..run.schema import MEASURED
from ..run.study import position
from .launch import launch

if TYPE_CHECKING:
    from lightning import Trainer

    from ..compose.build import Setup
    from ..compose.shared_data import SharedData

log = logging.getLogger(__name__)

ONE_BY_ONE = "hydra_plugins.regnet_packed.launcher.StudyLauncher"  # for `hydra/launcher=basic`, the default
STUDY_JOB = "REGNET_STUDY_JOB"  # in the environment: the job that DDP's further processes are started for
ADVICE = (  # warnings of Lightning about what regnet does on purpose
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*requested to overfit but enabled.*",  # by its own order, which is none then
    ".*sync_dist=True.*",  # every process measures all of validation
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*`srun` command is available.*",  # said to every run on a cluster; the docs tell when srun is needed
)


def main() -> None:
    store_launcher()
    launch(task, config_name="train")


def store_launcher() -> None:
    """``hydra/launcher=basic`` is regnet's own."""
    Plugins.instance()  # Hydra stores its own launchers when it first looks for plugins
    ConfigStore.instance().store("basic", {"_target_": ONE_BY_ONE}, "hydra/launcher", provider="regnet")


def task(cfg: DictConfig, wait: bool = True) -> float:
    """One job of Hydra. Returns the monitored metric of the chosen epoch, for sweepers that search.

    Raises:
        Taken: another process trains the run, and `wait` is false.
    """
    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), as_typed(hydra.overrides.task)
    if hydra.mode == RunMode.MULTIRUN and not _is_own_job(hydra.job.num):
        return float("nan")
    record = run(cfg, folder, overrides, hydra.runtime.choices["hydra/launcher"], wait)
    if hydra.mode == RunMode.RUN and record["status"] not in MEASURED:
        sys.exit(1)
    return score(record)


def _is_own_job(number: int) -> bool:
    """Whether this process has to run the study's job `number`.

    DDP's further processes are started with the same command as the first: of a study they take the one
    job that they were started for, and end with it.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        os.environ[STUDY_JOB] = str(number)
    started_for = int(os.environ.get(STUDY_JOB, number))
    if number > started_for:
        sys.exit(0)
    return number == started_for


def run(
    cfg: DictConfig, folder: Path, overrides: Sequence[str] = (), launcher: str = "basic", wait: bool = True
) -> Record:
    """Trains, chooses an epoch by validation, tests it, and writes `record.json` into `folder`.

    A folder that holds this very run already is left as it is; one where it was cut off is resumed from
    its last checkpoint, and goes on bitwise as if it had never stopped. A run that fails or diverges is
    recorded with its reason and returns like any other, so that a study goes on. One that another process
    trains at the same time is waited for.

    Raises:
        Taken: another process trains it, and `wait` is false.
    """
    run = Run(cfg, folder, overrides, launcher, partial(sentence, config_name="train"), position())
    if (record := run.begin(wait)) is not None:
        told = "was done before"
        if cfg.measure:
            prepare_process()
            from ..compose.measured import done_before

            record, told = done_before(record, cfg, folder)
        log.info("%s  %s", position() or folder, told)
        return record
    prepare_process()
    return live(run)


@quiet_threads()
def live(run: Run) -> Record:
    """From its beginning, or from where it was cut off, to its end."""
    try:
        try:
            return run.end(_train_and_test(run.cfg, run.folder, run.record["overrides"], run.checkpoint()))
        except Exception as error:
            return run.end(error=error)
    except (KeyboardInterrupt, SystemExit) as error:
        way = f"study={run.cfg.study}" if position() else f"hydra.run.dir={run.folder}"
        log.warning("interrupted; the same command with %s goes on from here", way)
        run.end(error=error)
        raise


def _train_and_test(cfg: DictConfig, folder: Path, overrides: Sequence[str], checkpoint: Path | None) -> dict[str, Any]:
    from ..compose.build import build
    from ..compose.trainer import build_loggers, build_trainer
    from ..core.threads import chosen, computing
    from ..run.checkpoints import read_checkpoint
    from ..run.loggers import Overheard, break_off, end_session, hyperparameters, overheard, start_session
    from ..training.operations import of_training

    launched = set(os.environ)
    setup = build(cfg, overrides, _shared_data().of if position() else None)
    loggers = build_loggers(cfg, read_checkpoint(checkpoint) if checkpoint else None)
    trainer = build_trainer(cfg, setup.regularizers.callbacks, str(folder), loggers.values())
    operations = of_training(setup.module, setup.data, trainer.strategy.root_device, trainer.accumulate_grad_batches)
    loggers = loggers if trainer.is_global_zero else {}
    setup.module.ledger.stores = start_session(loggers, hyperparameters(cfg))
    ledger = Overheard(setup.module.ledger, trainer)
    trainer.loggers = [*trainer.loggers, ledger]
    trainer.precision_plugin.convert_module(setup.module)  # Lightning does so too late for a checkpoint in float64
    threads = chosen(operations)
    try:
        with stops_if_unwritable(folder), computing(threads):
            with at_steps(), overheard(loggers.values(), ledger):
                trainer.fit(setup.module, datamodule=setup.data, ckpt_path=checkpoint, weights_only=True)
            results = _test_chosen(setup, trainer, folder / "checkpoints") if trainer.is_global_zero else {}
        results |= {"steps": trainer.global_step, "step_operations": operations, "threads": threads}
    except BaseException as error:
        break_off(loggers, goes_on=not isinstance(error, Exception))
        raise
    finally:
        _disband(launched)
    end_session(loggers, flat(results.get("metrics", {})), trainer.global_step)
    return results


@cache
def _shared_data() -> "SharedData":
    """Of the runs of a study, one after the other; one data set at a time."""
    from ..compose.shared_data import SharedData

    return SharedData(most=1)


def _test_chosen(setup: "Setup", trainer: "Trainer", checkpoints: Path) -> dict[str, Any]:
    """The epoch that validation chose, and the last: their metrics of that time, and on test, looked at only now."""
    from ..measures.result import result
    from ..run.checkpoints import chosen_checkpoint, last_checkpoint
    from ..run.lightning_state import chosen as as_checkpoint
    from ..training.callbacks import LastCheckpoint
    from ..training.callbacks.others import callbacks_of

    chosen = chosen_checkpoint(checkpoints)
    if callbacks_of(trainer, LastCheckpoint):
        last = last_checkpoint(checkpoints)
    else:
        now = as_checkpoint(trainer.current_epoch, trainer.global_step, setup.module.state_dict())
        last = now | setup.module.ledger.state_dict()
    device = trainer.strategy.root_device
    outcome = result(setup.module, setup.data, chosen, last, trainer.current_epoch, device, setup.measures)
    reason = _cut(trainer)
    return outcome | {"status": "cut" if reason else "completed", "reason": reason}


def _cut(trainer: "Trainer") -> str | None:
    """Why training ended before its protocol did, if it did."""
    from ..training.callbacks import TimeLimit
    from ..training.callbacks.others import callbacks_of

    if batches := trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning declares it nowhere
        return f"trainer.fast_dev_run={batches} trains on a few batches only"
    limit = next(iter(callbacks_of(trainer, TimeLimit)), None)
    if limit and limit.cut:
        return f"trainer.max_time was up after {trainer.current_epoch} epochs; the same run goes on if started again"
    return None


def _disband(launched: set[str]) -> None:
    """Ends DDP's process group and takes back its environment, which Lightning leaves to the study's next run."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
        for name in {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"} - launched:
            os.environ.pop(name, None)


def prepare_process() -> None:
    """Lightning's greetings, tips and advice are not a run's news; the rest of its warnings is."""
    import torch

    from ..compose import build  # noqa: F401  (imports Lightning, which sets its loggers up; a run's time is without it)

    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for advice in ADVICE:
        warnings.filterwarnings("ignore", advice)
    # A strong penalty drives weights and Adam's moments below 1e-38, where a CPU computes ten times slower;
    # set before torch starts its threads, which inherit it
    torch.set_flush_denormal(True)
    keep_memory()
    if not torch.cuda.is_available():
        # else torch looks for a GPU's driver at every optimizer step, 0.2 ms each time
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    if not gc.isenabled():  # see `launch`
        # torch, lightning and the rest are there for good: neither training nor the end of the program looks
        # through their 700,000 objects any more
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    main()
