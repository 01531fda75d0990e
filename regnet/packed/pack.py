"""The life of a pack: from the configs of its jobs to their records."""

import copy
import logging
import time
import warnings
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from omegaconf import open_dict

from ..compose.build import build
from ..compose.measured import done_before
from ..compose.mistakes import sentence
from ..compose.shared_data import SharedData
from ..compose.trainer import build_trainer
from ..core.ending import at_steps
from ..core.errors import UserError
from ..core.files import stops_if_unwritable, unwritable
from ..measures.result import result
from ..run.checkpoints import PREFIX
from ..run.life import Run
from ..run.lightning_state import begin_at
from ..run.lock import Taken
from ..run.record import Record, flat
from ..training.operations import of_training
from .alike import alike
from .job import CannotPack, Job, Outcome, Reporter
from .member import Member, Trained
from .memory import free, out_of_memory, room, try_pack
from .module import PackedModule
from .stack import Tensors

log = logging.getLogger(__name__)


class BrokenOff(Exception):
    """One of these jobs has ended the training of all; the others have done nothing wrong."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs


class Pack:
    """Trains all jobs together, and writes what a run alone would write into the folder of each.

    Args:
        size: the most that are one stack.
        processes: that train packs at the same time, and share the memory.
    """

    def __init__(
        self, jobs: Sequence[Job], size: int | None, reporter: Reporter, data: SharedData, processes: int = 1
    ) -> None:
        self.jobs, self.size, self.reporter = jobs, size, reporter
        self.data, self.processes = data, processes
        self.runs: dict[int, Run] = {}
        self.operations: dict[int, int | None] = {}  # of a step on so many samples, of runs that are alike
        self.clock = time.monotonic()

    def run(self) -> None:
        """Each job ends with its record.

        Raises Unwritable: a file cannot be written; the runs that it cuts off are recorded as interrupted.
        """
        try:
            self._run()
        except (KeyboardInterrupt, SystemExit) as stop:
            for job in self.jobs:
                if job.number in self.runs:
                    self._record(job, error=stop)
            raise
        finally:
            for run in self.runs.values():
                run.release()

    def _run(self) -> None:
        members = [member for job in self.jobs if (member := self._build(job))]
        if not members:
            return
        groups, differing = alike(members)
        members.clear()  # each group lets go of its own
        if differing:
            names = " and ".join(sorted(differing)[:3])
            self.reporter.say(f"packed: runs of one pack must have the same {names} (no buffer)")
        while groups:
            self._train_alike(groups.pop(0))

    def _train_alike(self, members: list[Member]) -> None:
        """Where memory runs out, halves of what is left go on from their last checkpoints."""
        try:
            trainer = trainer_of(members[0])
            kept, step = try_pack(members, trainer, log, partial(self._copies, members))
        except (CannotPack, MemoryError) as error:
            reason = str(error) if isinstance(error, CannotPack) else "memory has no room for two of them"
            self._cannot([member.job for member in members], reason)
            return
        except Exception as error:
            for member in members:
                self._end(member.job, error=error)
            return
        self.operations.clear()
        for member in members:
            size = _batch(member)
            if size not in self.operations:
                device = trainer.strategy.root_device
                self.operations[size] = of_training(member.module, member.data, device, member.accumulates)
        most = min(self.size or len(members), room(kept, trainer.strategy.root_device, self.processes))
        self._train_in_parts(members, most, step)

    def _train_in_parts(self, members: list[Member], most: int, step: int) -> None:
        """Where one run ends the training of a pack by an error, its halves go on apart from their last checkpoints."""

        def epoch(member: Member) -> int:
            return member.epoch

        while members:
            states = {}
            for member in list(members):
                try:
                    states[member] = self._resume(member)
                except Exception as error:
                    members.remove(member)
                    self._fail(member.job, error)
            left = {m.job.number: m.job for m in members}
            broken: Sequence[Job] = ()
            try:
                for _, together in groupby(sorted(neighbours(members), key=epoch), key=epoch):
                    group = list(together)
                    for i in range(0, len(group), most):
                        self._train(group[i : i + most], states, left, step)
            except MemoryError:
                _pause(states, left)
                most = (min(most, len(left)) + 1) // 2
                self.reporter.say(f"packed: out of memory; goes on with packs of {most}")
            except BrokenOff as stop:
                _pause(states, left)
                broken = stop.jobs
                self.reporter.say(f"packed: {told(stop.__cause__)}; the halves of its pack go on apart")
            # their memory is freed before others take their place
            members.clear()
            states.clear()
            free()
            middle = (len(broken) + 1) // 2
            for half in (broken[:middle], broken[middle:]):
                self._train_in_parts(self._rebuilt([left.pop(job.number) for job in half]), most, step)
            members += self._rebuilt(left.values())

    def _rebuilt(self, jobs: Iterable[Job]) -> list[Member]:
        return [built for job in jobs if (built := self._build(job))]

    def _build(self, job: Job) -> Member | None:
        if (run := self._begin(job)) is None:
            return None
        try:
            return Member(job, run.cfg, build(run.cfg, job.overrides, self.data.of), run)
        except Exception as error:
            self._fail(job, error)
            return None

    def _copies(self, members: Sequence[Member]) -> list[Member]:
        """Two of the runs, built anew, which nobody trains."""
        copies = []
        for member in dict.fromkeys((members[0], members[-1])):
            member.job.activate()
            cfg = member.job.task_config()
            copies.append(Member(member.job, cfg, build(cfg, member.job.overrides, self.data.of), member.run))
        return copies

    def _begin(self, job: Job) -> Run | None:
        """The run, if it is to be trained here."""
        if (former := self.runs.pop(job.number, None)) is not None:
            former.release()
        job.activate()
        with stops_if_unwritable(job.folder):
            job.write_config()
        launcher = job.config.hydra.runtime.choices["hydra/launcher"]
        told = partial(sentence, config_name="train")
        run = Run(job.task_config(), job.folder, job.overrides, launcher, told, log=job.log())
        try:
            record = run.begin(wait=False)
        except Taken:
            self.reporter.taken(job.number)
            return None
        if record is not None:
            self.reporter.ended(job.number, Outcome(*done_before(record, run.cfg, job.folder)))
            return None
        self.runs[job.number] = run
        return run

    def _fail(self, job: Job, error: Exception) -> None:
        if out_of_memory(error):
            self._cannot([job], "memory has no room for one more in the pack")
        else:
            self._end(job, error=error)

    def _cannot(self, jobs: Sequence[Job], reason: str) -> None:
        for job in jobs:
            self.runs.pop(job.number).release()
        self.reporter.cannot([job.number for job in jobs], reason)

    def give_up(self, reason: str) -> None:
        """Records that all jobs failed."""
        for job in self.jobs:
            if self._begin(job) is not None:
                self._end(job, error=UserError(reason))

    def _resume(self, member: Member) -> Any:
        checkpoint = member.run.checkpoint()
        state = member.load(checkpoint) if checkpoint else None
        member.job.activate()
        member.start()
        return state

    def _train(self, members: list[Member], states: dict[Member, Any], left: dict[int, Job], step: int) -> None:
        """`left` loses those that have their record."""

        def ended(member: Member, outcome: Trained | Exception) -> None:
            del left[member.job.number]
            self._finish(member, outcome)

        members[0].job.activate()
        trainer = trainer_of(members[0])
        begin_at(trainer, members[0].epoch)
        running = {member.job.number for member in members}
        try:
            module = PackedModule(members, [states[m] for m in members], trainer, ended, self.reporter.trained, step)
            with stops_if_unwritable(members[0].job.folder), warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*this fit will run with no optimizer.*")
                if module.begin():
                    with at_steps():
                        trainer.fit(module, train_dataloaders=module.loader)
        except (KeyboardInterrupt, SystemExit):
            _pause(states, left)
            raise
        except BrokenPipeError:  # the parent process is gone; no run has failed
            raise
        except Exception as error:
            if out_of_memory(error) and len(members) > 1:
                raise MemoryError(str(error)) from error
            cut = [member for member in members if member.job.number in left.keys() & running]
            if len(cut) > 1:
                raise BrokenOff([member.job for member in cut]) from error
            for member in cut:
                ended(member, error)
        finally:
            module = trainer = None  # type: ignore[assignment]  # lets go of the stack
            free()

    def _finish(self, member: Member, outcome: Trained | Exception) -> None:
        """Tests a member that is done as a run alone is tested, and writes its record."""
        tested: dict[str, Any] = {}
        error = outcome if isinstance(outcome, Exception) else None
        try:
            if not isinstance(outcome, Exception):
                tested = _tested(member, outcome) | {"step_operations": self.operations[_batch(member)]}
                member.end(flat(tested["metrics"]))
        except Exception as cause:
            error = cause
        if error is not None:
            member.break_off(goes_on=unwritable(error, member.job.folder) is not None)
        member.release()
        self._end(member.job, tested, error)

    def _end(self, job: Job, result: dict[str, Any] | None = None, error: Exception | None = None) -> None:
        self.reporter.ended(job.number, Outcome(self._record(job, result, error)))

    def _record(self, job: Job, result: dict[str, Any] | None = None, error: BaseException | None = None) -> Record:
        job.activate()
        # each run has an equal share of the pack's time
        run = self.runs[job.number]
        record = run.end(result, error, seconds=(time.monotonic() - self.clock) / len(self.jobs))
        for handler in run.log.handlers:
            handler.close()
        del self.runs[job.number]
        return record


def told(error: BaseException | None) -> str:
    return sentence(error, config_name="train") if isinstance(error, Exception) else ""


def _pause(members: Iterable[Member], left: Collection[int]) -> None:
    """Closes the logs of those members that are left; they go on later."""
    for member in members:
        if member.job.number in left:
            member.break_off(goes_on=True)


def _tested(member: Member, trained: Trained) -> dict[str, Any]:
    def weights(state: Tensors) -> dict[str, Any]:
        return {"state_dict": {PREFIX + name: tensor for name, tensor in state.items()}}

    last = member.progress() | weights(trained.last)
    chosen = member.chosen | weights(trained.best) if member.chosen and trained.best else last
    device = next(member.objective.parameters()).device
    outcome = result(member.module, member.data, chosen, last, member.epoch, device, member.measures)
    return outcome | {"steps": member.step, "threads": torch.get_num_threads()}


def _batch(member: Member) -> int:
    return min(member.data.batch_size, len(member.data.train))


def trainer_of(member: Member) -> Any:
    """The configured Trainer, without callbacks and loggers: those are the members' own."""
    bare = copy.deepcopy(member.cfg)
    with open_dict(bare):
        bare.callbacks, bare.logger = {}, {}
        bare.trainer.enable_checkpointing = False
        bare.trainer.gradient_clip_val, bare.trainer.accumulate_grad_batches = None, 1  # the pack does so itself
    return build_trainer(bare, {}, str(Path.cwd()))


def neighbours(members: Sequence[Member]) -> list[Member]:
    """In an order in which runs that share their batches stand together."""

    def key(member: Member) -> tuple[int, ...]:
        data = member.data
        return len(data.train), data.train.tensor.data_ptr(), data.seed, member.job.number

    return sorted(members, key=key)
