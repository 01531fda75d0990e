"""The LightningModule of a pack: K runs in one training loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import lightning
import torch
from lightning import Trainer
from torch import Tensor

from ..core.devices import sent
from ..core.ending import stop_here
from ..core.errors import Diverged
from ..core.exact import in_precision
from ..core.seeds import derive
from ..data.loader import as_float
from ..data.samples import Samples
from ..regularizers import Proximal
from .accumulated import Accumulated, clip
from .averages import Averages
from .chunks import Chunks
from .loader import PackedLoader, Part
from .member import Member, Trained
from .moving import Moving
from .noise import Noise
from .rules import stack as stack_optimizers
from .stack import Stack, Tensors
from .transforms import Transforms

Metrics = dict[str, float]
EVERY = 5.0  # seconds between two writes to TensorBoard and metrics.csv


class PackedModule(lightning.LightningModule):
    """Trains all members at once; each is measured, chosen, stopped and saved by itself.

    A member that diverged is not looked at any more; at the epoch's end it leaves the pack, as do those that
    are done, and the others are moved together.

    Args:
        members: in an order in which neighbours share their batches.
        states: of each, as `Member.load` gives it, or None for a new run.
        left: called for a member that leaves the pack, with its states or the error that ended it.
        tell: called with the number of runs that have made one more epoch.
        each: bytes that a step of one run works on.
        recorded: whether steps may be recorded and played back.
    """

    def __init__(
        self,
        members: Sequence[Member],
        states: Sequence[Any],
        trainer: Trainer,
        left: Callable[[Member, Trained | Exception], None],
        tell: Callable[[int], None],
        each: int,
        recorded: bool = True,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.members = list(members)
        self.left, self.tell = left, tell
        self.root_trainer, self.root = trainer, trainer.strategy.root_device
        for member in self.members:
            trainer.precision_plugin.convert_module(member.module)  # in place
            member.module.to(self.root)
        self.stack = stack_of(self.members, recorded)
        self.rule = stack_optimizers([member.optimizer for member in self.members], self.stack.params)
        self.proximal = any(isinstance(update, Proximal) for update in self.members[0].module.updates)
        for k, (member, state) in enumerate(zip(self.members, states, strict=True)):
            if state is not None:
                optimizer, best = state
                self.rule.load(k, optimizer, member.names, member.step)
                if best:
                    self.stack.load_best(k, best)
        self.averages = Averages(self.members, self.stack) if self.members[0].average else None
        first = self.members[0]
        self.most = first.cfg.trainer.gradient_clip_val or None  # 0 is none, too
        self.accumulated = Accumulated(self.stack.params, first.accumulates) if first.accumulates > 1 else None
        self.batch = 0  # of the epoch
        self.noise = Noise(self.root)
        self.transforms = Transforms([member.module for member in self.members], self.root)
        self._follow_schedules()
        self.loader = PackedLoader([member.data for member in self.members], self.root)
        steps = self.loader.most_steps() * self.members[0].epochs
        self.chunks = Chunks(len(self.members), each, steps, self.root)
        self.terms = self.members[0].objective.terms
        self.sums = torch.zeros(0)  # (K, terms): Σ of each term over the epoch's samples
        self._wide = torch.promote_types(next(iter(self.stack.params.values())).dtype, torch.float32)
        self.errors: dict[int, Exception] = {}
        self.saved = self.flushed = time.monotonic()

    def configure_optimizers(self) -> None:
        return None

    def _follow_schedules(self) -> None:
        schedules = [member.module.schedules for member in self.members]
        buffers = [buffer for one in schedules for buffer in one.buffers()]
        self.moving = Moving(buffers)
        values = iter(torch.stack(buffers).tolist() if buffers else ())
        self.scheduled = [[next(values) for _ in one.buffers()] for one in schedules]  # the present ones

    def begin(self) -> bool:
        """Lets members go that were at their end when they were saved; returns whether any is left to train."""
        done = [k for k, m in enumerate(self.members) if m.stopped or m.epoch >= m.epochs]
        if done:
            self._dismiss(done)
        return bool(self.members)

    def on_train_epoch_start(self) -> None:
        self.noise.begin([derive(m.module.seed, "noise", self.current_epoch, 0) for m in self.members])
        self.sums = torch.zeros(len(self.members), len(self.terms), device=self.root, dtype=self._wide)
        self.counts = [0] * len(self.members)
        self._set_groups()

    def _set_groups(self) -> None:
        """Takes learning rates and the like as the members' schedules have them."""
        self.rule.set_groups([member.optimizer.param_groups[0] for member in self.members])
        self.rates = self.rule.lr.to(self.root, self._wide)

    def training_step(self, batch: Iterator[list[Part]], batch_idx: int) -> None:
        """All steps of an epoch."""
        for self.batch, parts in enumerate(batch):
            stop_here()
            self._train(self.root_trainer.precision_plugin.convert_input(parts))

    def _train(self, parts: list[Part]) -> None:
        start = time.perf_counter()
        self._schedule(parts)
        changed = [self.members[k].begin_step() for part in parts for k in range(part.first, part.last)]
        if any(changed):
            self._set_groups()
        size = self.chunks.size
        for part in parts:
            stacked, x, y = self._transformed(part)
            for first in range(part.first, part.last, size):
                rows = slice(first, min(first + size, part.last))
                own = slice(rows.start - part.first, rows.stop - part.first) if stacked else slice(None)
                self._step(rows, x[own], y[own], stacked)
        if len(parts) == 1:
            self.chunks.took(time.perf_counter() - start)

    def _schedule(self, parts: list[Part]) -> None:
        """Strengths and rates of the members that make a step, to where they are at their progress."""
        moved = False
        for k in (k for part in parts for k in range(part.first, part.last)):
            member = self.members[k]
            if member.module.schedules.scheduled:
                self.scheduled[k] = member.module.schedules.at(member.step / (member.steps * member.epochs))
                moved = True
        if moved:
            self.moving.set([value for values in self.scheduled for value in values])

    def on_train_epoch_end(self) -> None:
        with self.averages.in_place() if self.averages else nullcontext():
            if self.averages:
                self.averages.recount(self.current_epoch, self.noise)
            self._measure()
        self.tell(len(self.members))
        self._write()

    def _measure(self) -> None:
        here = [k for k in range(len(self.members)) if k not in self.errors]
        weights = self.stack.statistics()
        vals = self._task_metrics([member.data.val for member in self.members])
        probes = self._task_metrics([member.data.probe for member in self.members])
        sums = self.sums.tolist()
        improved = []
        for k in here:
            member = self.members[k]
            try:
                terms = {name: total / self.counts[k] for name, total in zip(self.terms, sums[k], strict=True)}
                if member.end_epoch(terms, weights[k], vals[k], probes[k]):
                    improved.append(k)
            except Exception as error:  # this run's own
                self.errors[k] = error
        self.stack.remember([k for k in improved if k not in self.errors])

    def _step(self, rows: slice, x: Tensor, y: Tensor, stacked: bool) -> None:
        values, grads = self.stack.gradients(rows, x, y, self.noise, stacked=stacked)  # (K, terms)
        count = x.shape[1] if stacked else len(x)
        self.sums[rows].add_(values, alpha=count)
        self._count(rows, values, count)
        if self.accumulated is None:
            self._update(rows, grads)
            return
        self.accumulated.add(rows, grads)
        for due, together in groupby(range(rows.start, rows.stop), key=self._steps_now):
            if due:
                own = [*together]
                part = slice(own[0], own[-1] + 1)
                self._update(part, self.accumulated.take(part))

    def _steps_now(self, k: int) -> bool:
        """Whether the optimizer makes a step after this batch of member k."""
        done = self.batch + 1
        return done % self.members[k].accumulates == 0 or done == self.members[k].batches

    def _update(self, rows: slice, grads: Tensors) -> None:
        if self.most is not None:
            clip(grads, self.most)
        self.stack.before_step(rows, self.rates[rows], grads, self.noise)
        params = {name: p[rows] for name, p in self.stack.params.items()}
        self.rule.step(params, grads, rows)
        self.stack.after_step(rows, self.rule.step_sizes(params, rows) if self.proximal else None)
        moved = [member.end_step() for member in self.members[rows]]
        if any(moved):
            self._set_groups()
        if self.averages:
            self.averages.step(rows)

    def _count(self, rows: slice, values: Tensor, count: int) -> None:
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning declares it nowhere
        told = None
        for i, k in enumerate(range(rows.start, rows.stop)):
            self.counts[k] += count
            member = self.members[k]
            if every and member.step % every == 0 and member.step != member.logged and k not in self.errors:
                told = values.tolist() if told is None else told
                try:
                    member.log_step(dict(zip(self.terms, told[i], strict=True)))
                except Diverged as error:
                    self.errors[k] = error

    def _transformed(self, part: Part) -> tuple[bool, Tensor, Tensor]:
        """The batch after each member's transforms, with its own noise."""
        if not self.members[0].module.transforms:
            return part.stacked, part.x, part.y
        return True, *self.transforms(part.rows, part.x, part.y, self.noise, part.stacked)

    def _task_metrics(self, sets: Sequence[Samples]) -> list[Metrics]:
        """The metrics of each member on its own set."""
        measured = []
        dtype = next(iter(self.stack.params.values())).dtype
        data = self.members[0].data

        def alike(item: tuple[int, Samples]) -> tuple[int, ...]:
            k, samples = item
            return samples.tensor.data_ptr(), len(samples), self.stack.snapshots(k)

        for _, run in groupby(enumerate(sets), key=alike):
            group = list(run)
            batches = self.loader.placed(group[0][1].tensor).split(data.eval_batch_size)
            x = [in_precision(as_float(sent(batch, self.root)), dtype) for batch in batches]
            # twice as many samples as a training step has: without gradients nothing is kept for a backward pass
            most = max(1, 2 * self.chunks.size * data.batch_size // len(x[0]))
            for start in range(0, len(group), most):
                part = group[start : start + most]
                targets = [sent(self.loader.placed(samples.y), self.root) for _, samples in part]
                same = len({samples.y.data_ptr() for _, samples in part}) == 1
                y = targets[0] if same else torch.stack(targets)
                rows = slice(part[0][0], part[-1][0] + 1)
                with torch.autocast(self.root.type, enabled=False):
                    measured += self.stack.task_metrics(rows, x, y)
        return measured

    def _write(self) -> None:
        """Saves what it is time to save, and lets those go that are done."""
        done = self.current_epoch + 1 == self.trainer.max_epochs
        leaving = [k for k, m in enumerate(self.members) if done or k in self.errors or m.stopped]
        now = time.monotonic()
        every = next((member.last.every_seconds for member in self.members if member.last), float("inf"))
        due = now - self.saved >= every
        for k in range(len(self.members)) if due else leaving:
            self._save(k)
        self.saved = now if due else self.saved
        if now - self.flushed >= EVERY:
            for member in self.members:
                member.flush()
            self.flushed = now
        if leaving:
            self._dismiss(leaving)

    def _save(self, k: int) -> None:
        member = self.members[k]
        member.flush()  # a checkpoint is of no use without the rows before it
        best = self.stack.state_of(k, best=True) if member.chosen else None
        last = self.stack.state_of(k) if k not in self.errors else None
        averaged = (self.averages.state_of(k), self.averages.counts[k]) if self.averages else None
        member.save(best, last, self.rule.state_of(k, member.names), averaged)

    def _dismiss(self, leaving: list[int]) -> None:
        gone = [(self.members[k], self.errors[k] if k in self.errors else self._trained(k)) for k in leaving]
        stay = [k for k in range(len(self.members)) if k not in leaving]
        if stay:
            index = torch.tensor(stay)
            parts = (self.stack, self.rule, self.noise, self.transforms, self.loader, self.averages, self.accumulated)
            for part in parts:
                if part is not None:
                    part.keep(index)
        self.members = [self.members[k] for k in stay]
        self._follow_schedules()
        self.errors = {}
        self.root_trainer.should_stop = not stay
        for member, outcome in gone:
            member.data.test = self.loader.placed.samples(member.data.test)  # sent once for all
            self.left(member, outcome)

    def _trained(self, k: int) -> Trained:
        best = self.stack.state_of(k, best=True) if self.members[k].chosen else None
        return Trained(best, self.averages.state_of(k) if self.averages else self.stack.state_of(k))


def stack_of(members: Sequence[Member], recorded: bool = True) -> Stack:
    moving = [buffer for member in members for buffer in member.module.schedules.buffers()]
    return Stack([m.objective for m in members], [list(m.module.updates) for m in members], recorded, moving)
