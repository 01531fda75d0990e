"""Networks and regularizers of a person's own: what may be packed, and what may not."""

import itertools
import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from regnet.core import hyperparameters
from regnet.regularizers import Constraint, Penalty


class Plain(nn.Module):
    def __init__(self, shape, num_outputs, **_):
        super().__init__()
        self.first, self.head = nn.Linear(64, 8), nn.Linear(8, num_outputs)

    def forward(self, x):
        return self.head(self.change(self.first(x.flatten(1)).relu()))

    def change(self, h):  # (B, 8)
        return h


# --- what may be packed


class InPlace(Plain):
    """Buffers that change in place."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.register_buffer("center", torch.zeros(8))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def change(self, h):
        if self.training:
            self.center.mul_(0.9).add_(0.1 * h.detach().mean(0))
            self.num_batches_tracked.add_(1)
        return h - self.center / self.num_batches_tracked.clamp(min=1)


class NotPersistent(InPlace):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self._non_persistent_buffers_set |= {"center", "num_batches_tracked"}


class Normal(Plain):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.norm = nn.BatchNorm1d(8)

    def change(self, h):
        return self.norm(h)


class Still(Normal):
    """One part is never in training mode."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.norm.running_var.fill_(0.5)
        self.norm.eval()


class Kept(Plain):
    """Changes its own parameters in its forward pass."""

    def change(self, h):
        with torch.no_grad():
            self.head.weight.clamp_(-0.2, 0.2)
        return h


class Hooked(Plain):
    """Hooks without a state."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.first.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
        self.first.register_forward_hook(lambda module, inputs, output: output + self.first.bias)


# --- noise: packed, with other bits


class Dropping(Plain):
    def change(self, h):
        return F.dropout(h, 0.3, self.training)


class Noisy(Plain):
    """Draws in most of the ways that there are."""

    def change(self, h):
        if not self.training:
            return h
        h = h + 0.1 * torch.randn_like(h) + 0.1 * torch.rand(8) + torch.normal(0 * h, 0.1)
        h = h * torch.bernoulli(torch.full_like(h, 0.5)) * torch.empty_like(h).uniform_(0.5, 1.0)
        return F.alpha_dropout(F.gumbel_softmax(h), 0.2, True)[:, torch.randperm(8)]


class Attentive(Plain):
    """Dropout within attention."""

    def change(self, h):
        q = h[:, None, :, None]
        rate = 0.3 if self.training else 0.0
        return F.scaled_dot_product_attention(q, q, q, dropout_p=rate).flatten(1)


# --- what runs alone


class DroppingReassigned(Dropping):
    """Noise hides nothing."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.register_buffer("seen", torch.zeros(()))

    def change(self, h):
        self.seen = self.seen + 1
        return super().change(h)


class Reassigned(InPlace):
    def change(self, h):
        if self.training:
            self.center = 0.9 * self.center + 0.1 * h.detach().mean(0)
        return h - self.center


class Carried(Plain):
    before = None

    def change(self, h):
        last = 0 if self.before is None else self.before
        self.before = h.detach().mean(0)
        return h - 0.5 * last


class Holder(Plain):
    """Counts the calls, by whatever it holds."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.held = self.make()

    def change(self, h):
        return h * (1.0 + 0.5 * (self.count() % 2)) if self.training else h


class InList(Holder):
    def make(self):
        return [0]

    def count(self):
        self.held[0] += 1
        return self.held[0]


class InDict(Holder):
    def make(self):
        return {"calls": 0}

    def count(self):
        self.held["calls"] += 1
        return self.held["calls"]


class InArray(Holder):
    def make(self):
        return np.zeros(1)

    def count(self):
        self.held[0] += 1
        return float(self.held[0])


class InTensor(Holder):
    def make(self):
        return torch.zeros(1)

    def count(self):
        self.held += 1
        return self.held


class InDeque(Holder):
    def make(self):
        return deque([1, 2])

    def count(self):
        self.held.rotate()
        return self.held[0]


@dataclass
class State:
    calls: int = 0


class InDataclass(Holder):
    def make(self):
        return State()

    def count(self):
        self.held.calls += 1
        return self.held.calls


class InClosure(Holder):
    def make(self):
        calls = 0

        def count():
            nonlocal calls
            calls += 1
            return calls

        return count

    def count(self):
        return self.held()


class InIterator(Holder):
    def make(self):
        return itertools.count()

    def count(self):
        return next(self.held)


class InGenerator(Holder):
    """Python can tell nothing of how far a generator is."""

    def make(self):
        return (number for number in range(10**6))

    def count(self):
        return next(self.held)


class InModule(Holder):
    """A module that is not registered."""

    def make(self):
        return [nn.BatchNorm1d(8)]

    def change(self, h):
        return self.held[0](h)


class InClass(Plain):
    calls = 0

    def change(self, h):
        InClass.calls += 1
        return h * (1.0 + 0.5 * (InClass.calls % 2)) if self.training else h


class InDefault(Plain):
    def change(self, h, calls=[0]):  # noqa: B006
        calls[0] += 1
        return h * (1.0 + 0.5 * (calls[0] % 2)) if self.training else h


CALLS = 0


class InGlobal(Plain):
    def change(self, h):
        global CALLS
        CALLS += 1
        return h * (1.0 + 0.5 * (CALLS % 2)) if self.training else h


class InHook(Plain):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        calls = [0]

        def count(module, inputs, output):
            calls[0] += 1
            return output * (1.0 + 0.5 * (calls[0] % 2)) if self.training else output

        self.first.register_forward_hook(count)


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self, module, inputs):
        self.calls += 1
        return (inputs[0] * (1.0 + 0.5 * (self.calls % 2)),) if module.training else inputs


def hooked(shape, num_outputs, **_):
    """All of its modules are torch's."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, num_outputs))
    network[1].register_forward_pre_hook(Counter())
    return network


def scaled(shape, num_outputs, **_):
    """A number in the closure of a hook, which is drawn when it is built."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, num_outputs))
    strength = torch.rand(())
    network[1].register_forward_hook(lambda module, inputs, output: strength * output)
    return network


def in_place(shape, num_outputs, **_):
    """Changes what it is given."""
    return nn.Sequential(nn.Threshold(0.5, 0.0, inplace=True), nn.Flatten(), nn.Linear(64, num_outputs))


class Python(Plain):
    def change(self, h):
        return h * (1.0 + 0.1 * random.random()) if self.training else h


class NumPy(Plain):
    def change(self, h):
        return h * (1.0 + 0.1 * np.random.rand()) if self.training else h


class OwnStream(Plain):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.stream = torch.Generator().manual_seed(0)

    def change(self, h):
        return h * torch.rand(8, generator=self.stream).to(h) if self.training else h


class OfGradients(Plain):
    """A hook of a parameter, which acts on its gradient."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.first.weight.register_hook(lambda gradient: 0.1 * gradient)


class Unlike(Plain):
    """What is computed in training is no mistake of a pack's, but of whoever sees it in evaluation alone."""

    def change(self, h):
        return h if self.training else h * (1.0 + 0.1 * len(torch._C._functorch.get_interpreter_stack() or ()))


class Deciding(Plain):
    def change(self, h):
        return h if h.mean().item() > 0.1 else 2 * h


# --- numbers that are no buffers


class Permuted(Plain):
    """An order that is drawn when it is built."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.order = torch.randperm(64)

    def forward(self, x):
        x = x.flatten(1)
        return super().forward(x[:, self.order] * torch.linspace(0, 1, 64))


# --- regularizers


class ListedPenalty(Penalty):
    """λ Σ w² with λ in a list."""

    def __init__(self, strength):
        super().__init__()
        self.held = {"strengths": [strength]}

    def forward(self, network, **_):
        return self.held["strengths"][0] * sum(w.square().sum() for w in network.parameters())


class CountedPenalty(Penalty):
    """λ Σ w² at every other call, counted in Python."""

    def __init__(self, strength):
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.calls = 0

    def forward(self, network, **_):
        self.calls += 1
        return self.strength * (self.calls % 2) * sum(w.square().sum() for w in network.parameters())


class BufferedPenalty(Penalty):
    """The same, counted in a buffer."""

    def __init__(self, strength):
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, network, **_):
        self.calls.add_(1)
        return self.strength * (self.calls % 2) * sum(w.square().sum() for w in network.parameters())


class CountedConstraint(Constraint):
    """|w| < radius times the number of steps, counted in Python."""

    def __init__(self, radius):
        super().__init__()
        self.register_buffer("radius", hyperparameters.radius(radius))
        self.calls = 0

    def forward(self, network):
        self.calls += 1
        with torch.no_grad():
            for w in network.parameters():
                w.copy_(w / (1 + w.abs() / (self.radius * self.calls).to(w)))


class ShrinkingConstraint(Constraint):
    """|w| < radius, which falls at every step: a buffer."""

    def __init__(self, radius):
        super().__init__()
        self.register_buffer("radius", hyperparameters.radius(radius))

    def forward(self, network):
        self.radius.mul_(0.99)
        with torch.no_grad():
            for w in network.parameters():
                w.copy_(w / (1 + w.abs() / self.radius.to(w)))


class Singular(Penalty):
    """λ Σ σ(W) over all matrices, whose decomposition fails where W is not finite."""

    def __init__(self, strength):
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))

    def forward(self, network, **_):
        return self.strength * sum(torch.linalg.svdvals(w).sum() for w in network.parameters() if w.ndim == 2)


class Narrow(Plain):
    """Can be computed in float32 alone."""

    def change(self, h):
        scale = torch.eye(8)
        with torch.autocast("cpu", enabled=False):
            return h.float() @ scale if h.dtype == torch.bfloat16 else h @ scale


class NarrowReassigned(Narrow):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.register_buffer("center", torch.zeros(8))

    def change(self, h):
        self.center = 0.9 * self.center + 0.1 * h.detach().float().mean(0)
        return super().change(h)
