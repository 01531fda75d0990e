"""The life of a pack: from the configs of its jobs to their records."""

import copy
import json
import logging
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from ..build import build, build_trainer, load_data
from ..cli import sentence
from ..data import DataModule
from ..errors import Diverged, UserError
from ..measure import load_objective, measure
from ..runs import flat, write_record
from ..train import finished, hyperparameters, identity, nested, new_record, plain, resume_from, settle
from .job import CannotPack, Job, Outcome
from .member import Member, neighbours
from .module import PackedModule, stack_of
from .optimizers import stack as stack_optimizers
from .stack import UPDATES, Noise

log = logging.getLogger(__name__)

SHARE = 0.7  # of the free memory that the packs of all processes may take together


def device(cfg: DictConfig) -> str:
    """What the Trainer of this config computes on: ``cpu`` or ``cuda``."""
    from lightning.pytorch.accelerators import CUDAAccelerator

    wanted = str(cfg.trainer.accelerator)
    return "cuda" if wanted in ("auto", "gpu", "cuda") and CUDAAccelerator.is_available() else "cpu"


def train_pack(
    jobs: Sequence[Job], size: int | None = None, tell: Callable[[float], None] = lambda _: None
) -> list[Outcome]:
    """Trains all jobs together, and writes what a run alone would write into the folder of each.

    At most `size` are one stack. `tell` is given the number of epochs done, of all jobs together.

    Raises:
        CannotPack: before anything is trained.
        MemoryError: the jobs that have no record yet go on from their last checkpoints, in smaller packs.
    """
    settle()
    return _Pack(jobs, size, tell).run()


class _Pack:
    def __init__(self, jobs: Sequence[Job], size: int | None, tell: Callable[[float], None]) -> None:
        self.jobs, self.size, self.tell = jobs, size, tell
        self.data = SharedData()
        self.records: dict[int, dict[str, Any]] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.clock = time.monotonic()

    def run(self) -> list[Outcome]:
        members = [member for job in self.jobs if (member := self._build(job))]
        if members:
            most = min(check(members), self.size or len(members))
            checkpoints = {m: resume_from(m.folder, self.records[m.job.number]["fingerprint"]) for m in members}
            states = {m: m.load(path) if path else {} for m, path in checkpoints.items()}
            for m, path in checkpoints.items():
                m.start(hyperparameters(m.job.overrides), m.trainer.global_step if path else None)

            def epoch(member: Member) -> int:
                return member.trainer.current_epoch

            for first, together in groupby(sorted(neighbours(members), key=epoch), key=epoch):
                group = list(together)
                for i in range(0, len(group), most):
                    self._train(group[i : i + most], states, first)
        return [self.outcomes[job.number] for job in self.jobs]

    def _build(self, job: Job) -> Member | None:
        HydraConfig.instance().set_config(job.hydra)
        cfg = copy.deepcopy(job.cfg)
        fingerprint = identity(cfg)
        if (record := finished(job.folder, fingerprint)) is not None:
            self.outcomes[job.number] = Outcome(record, None)
            return None
        self.records[job.number] = new_record(
            cfg, job.overrides, job.hydra.hydra.runtime.choices["hydra/launcher"], fingerprint
        )
        try:
            return Member(job, cfg, build(cfg, job.overrides, self.data.of))
        except Exception as error:
            self._end(job, cfg, {"status": "failed", "reason": sentence(error, "train")}, traceback.format_exc())
            return None

    def _train(self, members: list[Member], states: dict[Member, Any], epoch: int) -> None:
        running = {member.job.number: member for member in members}

        def left(member: Member, error: Exception | None) -> None:
            del running[member.job.number]
            self._finish(member, error)

        done = [member for member in members if member.trainer.should_stop or epoch >= member.cfg.trainer.max_epochs]
        for member in done:
            left(member, None)
        members = [member for member in members if member.job.number in running]
        if not members:
            return
        cfg = members[0].cfg
        HydraConfig.instance().set_config(members[0].job.hydra)
        trainer = trainer_of(cfg)
        try:
            module = PackedModule(members, [states[m] for m in members], trainer, left, self.tell)
            trainer.fit_loop.epoch_progress.current.processed = epoch
            trainer.fit_loop.epoch_progress.current.completed = epoch
            trainer.fit_loop.epoch_progress.current.ready = epoch
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*this fit will run with no optimizer.*")
                trainer.fit(module, train_dataloaders=module.loader)
        except (KeyboardInterrupt, SystemExit):
            for member in running.values():
                self._end(member.job, member.cfg, {"status": "interrupted", "reason": "stopped before its end"})
            raise
        except Exception as error:
            if out_of_memory(error):
                raise MemoryError(str(error)) from error
            for member in list(running.values()):
                left(member, error)

    def _finish(self, member: Member, error: Exception | None) -> None:
        """Tests the chosen epoch of a member that is done, and writes its record."""
        text = None
        try:
            if error is not None:
                raise error
            result = _test_chosen(member)
        except Exception as cause:
            member.end({}, completed=False)
            status = "diverged" if isinstance(cause, Diverged) else "failed"
            result, text = {"status": status, "reason": sentence(cause, "train")}, traceback.format_exc()
        else:
            member.end(flat(result["metrics"]), completed=True)
        self._end(member.job, member.cfg, result, text)

    def _end(self, job: Job, cfg: DictConfig, result: dict[str, Any], text: str | None = None) -> None:
        HydraConfig.instance().set_config(job.hydra)
        # of the pack's time each run has its share
        seconds = (time.monotonic() - self.clock) / len(self.jobs)
        record = self.records[job.number] | result | {"config": plain(cfg), "seconds": seconds}
        write_record(job.folder, record)
        self.outcomes[job.number] = Outcome(record, text)


def trainer_of(cfg: DictConfig) -> Any:
    """The configured Trainer, without callbacks and loggers: those are the members' own."""
    bare = copy.deepcopy(cfg)
    with open_dict(bare):
        bare.callbacks, bare.logger = {}, {}
        bare.trainer.enable_checkpointing = False
    return build_trainer(bare, {}, str(Path.cwd()))


def _test_chosen(member: Member) -> dict[str, Any]:
    """As a run alone is tested: the chosen epoch's metrics of that time, and on test, looked at only now."""
    chosen = member.chosen if member.best else member._checkpoint()
    if chosen is None:
        raise UserError("no epoch was validated, so that none can be chosen")
    root = next(member.objective.parameters()).device
    objective = copy.deepcopy(member.objective)
    load_objective(objective, chosen)
    test = measure(objective, member.data.test_dataloader(), device=root)
    epochs = member.trainer.current_epoch
    return {
        "status": "completed",
        "epochs": epochs,
        "best_epoch": min(chosen["epoch"], epochs - 1),
        "metrics": nested(chosen["measured"], test),
        "device": torch.cuda.get_device_name(root) if root.type == "cuda" else root.type,
    }


class SharedData:
    """Data modules of runs of one pack, which share the samples that are the same."""

    def __init__(self) -> None:
        self.whole: dict[str, DataModule] = {}
        self.variants: dict[tuple[str, int | None, float], DataModule] = {}

    def of(self, cfg: DictConfig) -> DataModule:
        settings = OmegaConf.to_container(cfg.data, resolve=True)
        seed, size, noise = (settings.pop(name) for name in ("seed", "train_size", "label_noise"))
        key = json.dumps(settings, sort_keys=True, default=str)
        if key not in self.whole:
            whole = copy.deepcopy(cfg)
            whole.data.train_size, whole.data.label_noise = None, 0.0
            self.whole[key] = load_data(whole)
        if (key, size, noise) not in self.variants:
            variant = self.whole[key].variant(size, noise, seed)
            variant.statistics()  # once for all seeds
            self.variants[key, size, noise] = variant
        data = copy.copy(self.variants[key, size, noise])
        data.seed = seed
        return data


def check(members: Sequence[Member]) -> int:
    """Tries the stacked computation on copies of two members; how many the memory can hold.

    Raises:
        CannotPack: the reason, where they cannot be stacked.
    """
    first = members[0]
    for member in members:
        if member.others:
            raise CannotPack(f"{type(member.others[0]).__name__} acts through a callback")
        for update in member.module.updates:
            if not isinstance(update, UPDATES):
                raise CannotPack(f"{type(update).__name__} is an update of a kind that packs do not know")
        if member.data.train.lazy:
            raise CannotPack("its images are read from disk")
    trainer = trainer_of(first.cfg)
    root = trainer.strategy.root_device
    pair = [copy.copy(member) for member in members[:2]]
    for member in pair:
        member.module = trainer.precision_plugin.convert_module(copy.deepcopy(member.module)).to(root)
        member.objective = member.module.objective
    try:
        stack = stack_of(pair)
        rule = stack_optimizers([member.optimizer for member in pair], stack.params)
        size = min(first.data.batch_size, min(len(member.data.train) for member in pair))
        samples = first.data.train.subset(torch.arange(size))
        x, y = next(iter(_loader(samples, size, root)))
        x = trainer.precision_plugin.convert_input(x)
        rows, noise = slice(0, len(pair)), Noise(root)
        noise.begin([0] * len(pair))
        activations = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal activations
            activations += tensor.nbytes
            return tensor

        with trainer.precision_plugin.train_step_context():
            params = {name: p.detach().requires_grad_() for name, p in stack.params.items()}
            with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
                values = stack.terms(params, rows, x, y, noise, stacked=False)
            grads = torch.autograd.grad(values.sum(), list(params.values()))
        stack.update(object, {n: p.detach() for n, p in params.items()}, rows, rule.lr)
        rule.step({n: p.detach() for n, p in params.items()}, dict(zip(params, grads, strict=True)), rows)
        stack.outputs(rows, x)
    except Exception as error:
        if out_of_memory(error):
            raise MemoryError(str(error)) from error
        log.debug("cannot be stacked", exc_info=True)
        reason = " ".join(str(error).split())[:120]
        raise CannotPack(
            f"model={first.cfg.model._target_} cannot be stacked: {type(error).__name__}: {reason}"
        ) from error
    # weights, their gradients, the optimizer's state, the best weights; and what the backward pass needs
    state = _bytes(stack.params) * 3 + sum(_bytes(one) for one in rule.state.values()) + 2 * _bytes(stack.buffers)
    each = (state + 2 * activations) / len(pair)
    return max(1, int(SHARE * free_memory(root) / max(each, 1)))


def _loader(samples: Any, size: int, root: torch.device) -> Iterable[Any]:
    from ..data.loader import EpochSampler, TensorLoader

    return TensorLoader(samples, size, EpochSampler(len(samples), 0, shuffle=False), root)


def _bytes(tensors: dict[str, torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def free_memory(root: torch.device) -> int:
    """Bytes that may still be taken on the device."""
    if root.type == "cuda":
        return torch.cuda.mem_get_info(root)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux: half of what there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
