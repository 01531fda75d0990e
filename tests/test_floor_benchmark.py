"""The floor of a step: its operations are those that torch counts, its bytes those of a count by hand."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from benchmarks import floor

X = torch.zeros(8, 1, 28, 28, dtype=torch.uint8)


class Given:
    """A machine that takes a second for everything."""

    random = 2.0

    def stream(self, size):
        return size

    def product(self, *shape):
        return 1.0

    def convolution(self, conv, x, first):
        return 1.0


@pytest.mark.parametrize("name", floor.NETWORKS)
def test_the_operations_are_those_of_a_step(name):
    network = floor.plain(name)
    products, activations, masks, update, batch = floor.parts(network, X, Given())
    with FlopCounterMode(display=False) as counted:
        F.cross_entropy(network(X.float()), torch.zeros(8, dtype=torch.int64)).backward()
    assert products.operations == counted.get_total_flops()
    count = sum(p.numel() for p in network.parameters())
    assert update.bytes == 28 * count
    assert update.seconds == pytest.approx(28 / 16)
    assert batch.bytes == 6 * X.numel()
    hidden = {"784-128-10": 128, "784-1024-1024-10": 2048, "cnn": 128}[name]
    assert masks.bytes == masks.seconds * 2 == 8 * hidden * 2
    maps = 32 * 28 * 28 + 64 * 14 * 14
    pooled = maps + maps / 4
    assert activations.bytes == 8 * 4 * (5 * (hidden + maps) + 2 * pooled if name == "cnn" else 5 * hidden)


def test_ceilings_and_steps_are_measured(monkeypatch):
    monkeypatch.setattr(floor, "WINDOW", 1e-4)
    ceilings = floor.Ceilings(torch.device("cpu"))
    assert ceilings.stream(10_000) == ceilings.stream(12_000) > 1e6
    assert ceilings.random > 1e6
    assert ceilings.product(8, 8, 8) > 0
    assert ceilings.adam(100) > 0
    conv = torch.nn.Conv2d(1, 2, 3, padding=1)
    assert ceilings.convolution(conv, torch.zeros(2, 1, 8, 8), True) > 0
    y = torch.zeros(300, dtype=torch.int64)
    assert floor.bare(floor.plain("784-128-10"), torch.zeros(300, 1, 28, 28), y, ceilings.clock, steps=2) > 0
