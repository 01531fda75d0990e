"""The LightningModule of a pack: K runs in one training loop."""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import lightning
import torch
from lightning import Trainer
from torch import Tensor

from ..data.loader import as_float
from ..data.samples import Samples
from ..errors import Diverged
from ..regularizers import Constraint, WeightDecay
from ..seeds import derive
from .chunks import Chunks
from .loader import PackedLoader, Part
from .member import Member
from .optimizers import stack as stack_optimizers
from .stack import Noise, Stack


class PackedModule(lightning.LightningModule):
    """Trains all members at once; each is measured, chosen, stopped and saved by itself.

    A member that diverged is not looked at any more; at the epoch's end it leaves the pack, as do those that
    are done, and the others are moved together.

    Args:
        members: in an order in which neighbours share their batches.
        left: called for a member that leaves the pack, with the error that ended it or None.
        tell: called with the number of runs that have made one more epoch.
    """

    def __init__(
        self,
        members: Sequence[Member],
        optimizer_states: Sequence[dict[int, Any]],
        trainer: Trainer,
        left: Callable[[Member, Exception | None], None],
        tell: Callable[[float], None],
        size: int | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.members = list(members)
        self.left, self.tell = left, tell
        self.root = trainer.strategy.root_device
        for member in self.members:
            member.module = trainer.precision_plugin.convert_module(member.module).to(self.root)
        self.stack = stack_of(self.members)
        self.rule = stack_optimizers([member.optimizer for member in self.members], self.stack.params)
        for k, (member, state) in enumerate(zip(self.members, optimizer_states, strict=True)):
            if state:
                self.rule.load(k, state, member.names, member.trainer.global_step)
        self.noise = Noise(self.root)
        self.loader = PackedLoader([member.data for member in self.members], self.root)
        self.chunks = Chunks(len(self.members), size, self.root)
        self.terms = ["loss", *(f"penalty/{name}" for name in self.members[0].objective.penalties)]
        self.sums = torch.zeros(0)  # (K, terms): Σ of each term over the epoch's samples
        self._wide = torch.promote_types(next(iter(self.stack.params.values())).dtype, torch.float32)
        self.errors: dict[int, Exception] = {}
        self.saved = time.monotonic()

    def configure_optimizers(self) -> None:
        return None

    def on_train_epoch_start(self) -> None:
        self.noise.begin([derive(m.module.seed, "noise", self.current_epoch, 0) for m in self.members])
        self.sums = torch.zeros(len(self.members), len(self.terms), device=self.root, dtype=self._wide)
        self.counts = [0] * len(self.members)
        self.rule.set_lr([member.lr for member in self.members])

    def training_step(self, batch: list[Part], batch_idx: int) -> None:
        start = time.perf_counter()
        size = self.chunks.size
        for part in batch:
            stacked, x, y = self._transformed(part)
            for first in range(part.first, part.last, size):
                rows = slice(first, min(first + size, part.last))
                own = slice(rows.start - part.first, rows.stop - part.first) if stacked else slice(None)
                self._step(rows, x[own], y[own], stacked)
        if len(batch) == 1:
            self.chunks.took(time.perf_counter() - start)

    def on_train_epoch_end(self) -> None:
        vals = self._outputs([member.data.val for member in self.members])
        probes = self._outputs([member.data.probe for member in self.members])
        sums = self.sums.tolist()
        for k, member in enumerate(self.members):
            if k in self.errors:
                continue
            try:
                terms = {name: total / self.counts[k] for name, total in zip(self.terms, sums[k], strict=True)}
                member.measure(terms, vals[k], probes[k])
            except Diverged as error:
                self.errors[k] = error
            member.end_epoch()
        self.tell(len(self.members))
        done = self.current_epoch + 1 == self.trainer.max_epochs
        leaving = [k for k, m in enumerate(self.members) if done or k in self.errors or m.trainer.should_stop]
        every = next((member.last.every_seconds for member in self.members if member.last), float("inf"))
        if time.monotonic() - self.saved >= every:
            for k in range(len(self.members)):
                self._save(k)
            self.saved = time.monotonic()
        else:
            for k in leaving:
                self._save(k)
        if leaving:
            self._dismiss(leaving)

    def _step(self, rows: slice, x: Tensor, y: Tensor, stacked: bool) -> None:
        params = {name: p[rows].detach().requires_grad_() for name, p in self.stack.params.items()}
        values = self.stack.terms(params, rows, x, y, self.noise, stacked)  # (K, terms)
        grads = torch.autograd.grad(values.sum(), list(params.values()))
        with torch.no_grad():
            values, lr = values.detach(), self.rule.lr[rows]
            params = {name: p.detach() for name, p in params.items()}
            self.stack.update(WeightDecay, params, rows, lr)
            self.rule.step(params, dict(zip(params, grads, strict=True)), rows)
            self.stack.update(Constraint, params, rows, lr)
            count = x.shape[1] if stacked else len(x)
            self.sums[rows].add_(values, alpha=count)
        self._count(rows, values, count)

    def _count(self, rows: slice, values: Tensor, count: int) -> None:
        every = self.trainer.log_every_n_steps
        told = None
        for i, k in enumerate(range(rows.start, rows.stop)):
            self.counts[k] += count
            trainer = self.members[k].trainer
            if every and trainer.global_step % every == 0 and k not in self.errors:
                told = values.tolist() if told is None else told
                try:
                    self.members[k].log_step(dict(zip(self.terms, told[i], strict=True)))
                except Diverged as error:
                    self.errors[k] = error
            trainer.global_step += 1

    def _transformed(self, part: Part) -> tuple[bool, Tensor, Tensor]:
        """The batch after each member's transforms, with its own noise."""
        members = self.members[part.rows]
        if not members[0].module.transforms:
            return part.stacked, part.x, part.y
        xs, ys = [], []
        for i, member in enumerate(members):
            x, y = (part.x[i], part.y[i]) if part.stacked else (part.x, part.y)
            with self.noise.of(part.first + i):
                for transform in member.module.transforms:
                    x, y = transform(x, y)
            xs.append(x)
            ys.append(y)
        return True, torch.stack(xs), torch.stack(ys)

    def _outputs(self, sets: Sequence[Samples]) -> list[tuple[Tensor, Tensor]]:
        """The outputs (N, ...) of each member on its own set, and the targets."""
        pairs = []
        dtype = next(iter(self.stack.params.values())).dtype
        size = self.members[0].data.eval_batch_size
        for _, run in groupby(enumerate(sets), key=lambda item: (item[1].x.data_ptr(), len(item[1]))):
            members = list(run)
            first, samples = members[0]
            limit = self.chunks.size
            outputs: list[Tensor] = []
            x = [as_float(batch.to(self.root)).to(dtype) for batch in samples.x.split(size)]
            with torch.autocast(self.root.type, enabled=False):
                for start in range(first, first + len(members), limit):
                    rows = slice(start, min(start + limit, first + len(members)))
                    outputs += torch.cat([self.stack.outputs(rows, batch) for batch in x], 1)
            pairs += [(o, one.y.to(self.root)) for o, (_, one) in zip(outputs, members, strict=True)]
        return pairs

    def _save(self, k: int) -> None:
        member = self.members[k]
        member.save(self.rule.state_of(k, member.names), self.loader.steps(k), last=k not in self.errors)

    def _dismiss(self, leaving: list[int]) -> None:
        gone = [(self.members[k], self.errors.get(k)) for k in leaving]
        stay = [k for k in range(len(self.members)) if k not in leaving]
        if stay:
            index = torch.tensor(stay)
            for part in (self.stack, self.rule, self.noise, self.loader):
                part.keep(index)
        self.members = [self.members[k] for k in stay]
        self.errors = {}
        self.trainer.should_stop = not stay
        for member, error in gone:
            self.left(member, error)


def stack_of(members: Sequence[Member]) -> Stack:
    return Stack([m.objective for m in members], [list(m.module.updates) for m in members])
