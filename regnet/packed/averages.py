"""Averages of the weights of K networks, such as EMA and SWA: each network's as its own callback makes it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..core.exact import settings
from ..data.loader import EpochSampler, TensorLoader
from ..run.checkpoints import PREFIX
from ..training.callbacks.averages import batch_norms, is_averaged, recount
from .member import Member
from .noise import Noise
from .stack import Stack, Tensors


class Averages:
    """The stacked averages of a pack, (K, *shape) each, beside its `Stack`, whose settings are not averaged.

    Args:
        members: each of which has an `Average`; those that go on have the average that they were saved with.
    """

    def __init__(self, members: Sequence[Member], stack: Stack) -> None:
        self.members, self.stack = list(members), stack
        self.averages = [member.average for member in members if member.average]
        own = settings(stack.objectives[0])
        self.means = {name: tensor.clone() for name, tensor in stack.state.items() if name not in own}
        self.counts = [0] * len(self.members)
        for k, member in enumerate(self.members):
            if member.averaged is not None:
                state, self.counts[k] = member.averaged
                for name, mean in self.means.items():
                    mean[k].copy_(state[PREFIX + name])

    def keep(self, index: Tensor) -> None:
        self.members = [self.members[k] for k in index.tolist()]
        self.averages = [self.averages[k] for k in index.tolist()]
        self.counts = [self.counts[k] for k in index.tolist()]
        self.means = {name: mean[index.to(mean.device)] for name, mean in self.means.items()}

    @torch.no_grad()
    def step(self, rows: slice) -> None:
        """Takes the weights of `rows` into their averages, behind a step of which the members know."""
        shares = torch.tensor([self._share(k) for k in range(rows.start, rows.stop)], dtype=torch.float64)
        if not shares.any():
            return
        state = self.stack.state
        for name, mean in self.means.items():
            now, part = state[name][rows], mean[rows]
            share = shares.to(now.device).view(-1, *(1 for _ in now.shape[1:]))
            if is_averaged(now) and (self.averages[0].with_buffers or name in self.stack.params):
                part.lerp_(now, share.to(now.real.dtype).expand_as(now))
            else:
                part.copy_(torch.where(share > 0, now, part))

    def _share(self, k: int) -> float:
        """Of the weights as they are in the average of network k."""
        average, moment = self.averages[k], self.members[k].moment
        if not average.due(moment):
            return 0.0
        before = 0 if average.anew(moment) else self.counts[k]
        self.counts[k] = before + 1
        return average.share(before) if before else 1.0

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The stack holds the averages meanwhile."""
        kept = {name: tensor.clone() for name, tensor in self.stack.state.items() if name in self.means}
        self._put(self.means)
        try:
            yield
        finally:
            self._put(kept)

    def recount(self, epoch: int, noise: Noise) -> None:
        """Batch norm's running statistics of those averages that ask for it, network by network; they are in place."""
        for k, member in enumerate(self.members):
            network = member.objective.network
            average = self.averages[k]
            if average.with_buffers or not batch_norms(network) or not average.begun(member.moment):
                continue
            sampler = EpochSampler(len(member.data.train), member.data.seed, shuffle=True)
            sampler.set_epoch(epoch)
            device = next(iter(self.means.values())).device
            with noise.of(k):
                recount(network, TensorLoader(member.data.train, member.data.batch_size, sampler, device), device)
            for name, tensor in self.stack.buffers.items():
                if name in self.means:
                    self.means[name][k].copy_(tensor[k])

    def state_of(self, k: int) -> Tensors:
        """A copy of the average of network k, with its settings of the present."""
        return self.stack.state_of(k) | {name: mean[k].clone() for name, mean in self.means.items()}

    @torch.no_grad()
    def _put(self, tensors: Tensors) -> None:
        for name, tensor in self.stack.state.items():
            if name in tensors:
                tensor.copy_(tensors[name])
