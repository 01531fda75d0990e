"""Which built runs may be one stack: their settings are compared, whatever they are kept in."""

import copy
import enum
import random
import re
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import nn

from regnet.packed.alike import alike, described
from regnet.regularizers import L1, L2, L2SP, DropBlock, Dropout, MaxNorm, Mixup, RandAugment
from regnet.training.module import RegularizedModule
from regnet.training.objective import Objective


@dataclass(slots=True)
class Slotted:
    number: float


class Plain:
    def __init__(self, number):
        self.number, self.itself = number, self


def closed_over(number):
    return lambda x: x * number


HOLDERS = {
    "float": float,
    "tuple": lambda v: (1, (v,)),
    "list": lambda v: [v, 2],
    "dict": lambda v: {"a": {"b": v}},
    "ordered": lambda v: OrderedDict(a=v),
    "set": lambda v: {v, "a", None},
    "numpy": np.float32,
    "array": lambda v: np.array([1, v]),
    "tensor": lambda v: torch.tensor([1, v]),
    "large tensor": lambda v: torch.zeros(2000, dtype=torch.complex64).index_fill(0, torch.tensor(7), v).conj(),
    "half tensor": lambda v: torch.zeros(40, 50, dtype=torch.bfloat16).fill_(v).t(),
    "deque": lambda v: deque([v]),
    "random stream": lambda v: torch.Generator().manual_seed(int(8 * v)),
    "object": Plain,
    "slots": Slotted,
    "closure": closed_over,
    "partial": lambda v: partial(torch.add, alpha=v),
    "method": lambda v: Plain(v).__init__,
    "fraction": Fraction,
    "enum": lambda v: enum.Enum("Own", {"one": v}).one.value,
    "config": lambda v: OmegaConf.create({"a": [v]}),
    "module in a list": lambda v: [L2(v)],
    "generator": random.Random,
    "regular expression": lambda v: re.compile(str(v)),
}


def hooked(number):
    network = nn.Sequential(nn.Linear(2, 2))
    network[0].register_forward_hook(lambda module, inputs, output: number * output)
    return network


class Holding(nn.Module):
    def __init__(self, held):
        super().__init__()
        self.held, self.linear, self.lock = held, nn.Linear(2, 2), threading.Lock()
        self.heads, self.call = [self.linear], self.forward  # known already

    def forward(self, x):
        return self.linear(x)


def member(*penalties, network=None, updates=(), transforms=()):
    named = {f"p{i}": penalty for i, penalty in enumerate(penalties)}
    objective = Objective(network or nn.Linear(2, 2), F.cross_entropy, named)
    return SimpleNamespace(module=RegularizedModule(objective, None, updates=updates, transforms=transforms))


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_a_number_that_is_no_buffer_splits(holder):
    members = [member(network=Holding(holder(number))) for number in (0.5, 0.25, 0.5)]
    groups, differing = alike(members)
    assert groups == [[members[0], members[2]], [members[1]]]
    assert differing == {"Holding.held"}


ALIKE = [
    lambda i: member(L1(0.1 * i), network=nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2), Dropout(0.1 * i))),
    lambda i: member(network=torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), updates=[MaxNorm(i)]),
    lambda i: member(transforms=[RandAugment(magnitude=i), Mixup(0.1 * i, 3)]),  # each acts for itself
    lambda i: member(network=Holding(closed_over(1))),
]


@pytest.mark.parametrize("make", ALIKE)
def test_runs_that_differ_in_buffers_are_alike(make):
    members = [make(i) for i in (1, 2, 3)]
    assert alike(members) == ([members], set())


DIFFERENT = {
    "DropBlock.block_size": lambda i: member(network=nn.Sequential(DropBlock(0.1, i))),
    "a hook of Linear": lambda i: member(network=hooked(i)),
    "L2.scale": lambda i: member(L2(0.1, scale={"*": i})),
    "L2SP.checkpoint": lambda i: member(L2SP(0.1, checkpoint=str(i))),
    "the shape of Linear.bias": lambda i: member(network=nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(1, i))),
}


@pytest.mark.parametrize(("name", "make"), DIFFERENT.items(), ids=DIFFERENT)
def test_runs_that_differ_elsewhere_are_not(name, make):
    members = [make(i) for i in (1, 2)]
    groups, differing = alike(members)
    assert groups == [[one] for one in members]
    assert name in differing


def test_kinds_split():
    members = [member(L1(0.1)), member(L2(0.1)), member(), member(transforms=[Mixup(0.1, 3)])]
    assert len(alike(members)[0]) == 4


def test_a_copy_is_described_as_what_it_was_copied_from():
    value = {"a": [1.5, "b", {2}], "c": Plain(1), "d": closed_over(Slotted(2))}
    assert described(value) == described(copy.deepcopy(value))
