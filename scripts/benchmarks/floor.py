"""What a training step takes at the least on this machine, and what is left between that and the steps there are.

    python scripts/benchmark.py floor [--rounds 5] [--threads N] [--only 784-128-10,...] [--save FILE.json]

784-128-10, 784-1024-1024-10 and the cnn, batches of 128 MNIST images (REGNET_DATA; else made up), dropout 0.5, L1, L2,
Adam. A step is taken apart into what no implementation can leave out, and each part is timed alone, or divided by what
this machine was measured to do:

    products     every matrix product and convolution of the forward and the backward pass, each timed by itself at
                 its very shape; the gradient by the images is left out
    activations  what lies between them, read and written once in each direction: ReLU, dropout and pooling as one pass
                 each way; bytes at the rate of a streaming pass over as much memory
    masks        16 random bits for each entry that may be dropped, at the rate at which torch draws 64-bit words
    update       Adam with both penalties in one pass: weights, gradients and two moments read, three of them
                 written; bytes at the rate of a streaming pass over as much memory
    batch        the images, gathered as bytes and written as floats

Beside the floor: torch's own fused Adam on as many weights, a bare loop (nn.Dropout, penalties as sums over
parameters, fused Adam) and `regnet-train` with all that is on by default. On one thread the time is that of the
processor in this process, so that other programs count little; else it is that of the clock. The least of several
windows counts for the parts, the median of the rounds for the steps.
"""

import argparse
import json
import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gpu import mnist
from .step import BATCH, NETWORKS, Stopwatch, fit, penalty, plain

STEPS = 100
WINDOW = 0.02  # seconds
SIZES = {"cache": 2**20, "memory": 2**28}  # bytes


@dataclass
class Part:
    """Of a step: arithmetic operations and bytes, and the seconds that they take at the least."""

    name: str
    operations: float
    bytes: float
    seconds: float


class Clock:
    """Times what is called again and again."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        self.now = time.process_time if alone else time.perf_counter

    def least(self, act: Callable[[], Any], windows: int = 7) -> float:
        """Seconds of one call: the least of several windows of many."""
        act()
        calls = max(1, int(WINDOW / max(self.seconds(act, 1), 1e-7)))
        return min(self.seconds(act, calls) for _ in range(windows)) / calls

    def seconds(self, act: Callable[[], Any], calls: int) -> float:
        self._wait()
        start = self.now()
        for _ in range(calls):
            act()
        self._wait()
        return self.now() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Ceilings:
    """What this machine does at the most, measured."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.clock = device, Clock(device)
        self.rates: dict[int, float] = {}
        words = torch.empty(2**15, dtype=torch.int64, device=device)
        self.random = words.nbytes / self.clock.least(words.random_)  # bytes a second

    def stream(self, size: float) -> float:
        """Bytes a second of a pass that reads and writes so much memory in all, by powers of two."""
        size = min(max(2 ** round(size).bit_length(), 2**14), SIZES["memory"])
        if size not in self.rates:
            a = torch.ones(size // 8, device=self.device)
            b = torch.ones_like(a)
            self.rates[size] = size / self.clock.least(lambda: torch.mul(a, 2.0, out=b))
        return self.rates[size]

    def product(self, m: int, k: int, n: int) -> float:
        a, b, out = (torch.randn(shape, device=self.device) for shape in ((m, k), (k, n), (m, n)))
        return self.clock.least(lambda: torch.mm(a, b, out=out))

    def convolution(self, conv: nn.Conv2d, x: Tensor, first: bool) -> float:
        y = conv(x).detach()  # as its gradient
        settings = (conv.stride, conv.padding, conv.dilation, False, (0, 0), conv.groups)
        forward = self.clock.least(lambda: F.conv2d(x, conv.weight.detach(), None, conv.stride, conv.padding))
        backward = torch.ops.aten.convolution_backward
        wanted = [not first, True, False]
        return forward + self.clock.least(lambda: backward(y, x, conv.weight.detach(), None, *settings, wanted))

    def adam(self, count: int) -> float:
        weight = torch.randn(count, device=self.device, requires_grad=True)
        weight.grad = torch.randn_like(weight)
        return self.clock.least(torch.optim.Adam([weight], lr=1e-3, fused=True).step)


def parts(network: nn.Module, x: Tensor, ceilings: Ceilings) -> list[Part]:
    """What a step of the network on a batch of bytes cannot leave out."""
    found: list[Part] = []
    passed: list[tuple[nn.Module, Tensor, Tensor]] = []
    leaves = [one for one in network.modules() if not list(one.children())]

    def note(one: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        passed.append((one, given[0], out))

    hooks = [one.register_forward_hook(note) for one in leaves]
    with torch.no_grad():
        network(x.float() / 255)
    for hook in hooks:
        hook.remove()
    operations = moved = seconds = between = passing = dropped = 0.0
    first = True
    for one, given, out in passed:
        if isinstance(one, nn.Linear):
            m, k, n = len(given), one.in_features, one.out_features
            shapes = [(m, k, n), (n, m, k), *([] if first else [(m, n, k)])]
            seconds += sum(ceilings.product(*shape) for shape in shapes)
            operations += 2 * m * k * n * len(shapes)
            moved += 4 * len(shapes) * (m * k + k * n + m * n)
        elif isinstance(one, nn.Conv2d):
            seconds += ceilings.convolution(one, given, first)
            passes = 2 if first else 3
            operations += passes * 2 * out.numel() * one.weight[0].numel()
            moved += 4 * passes * (given.numel() + one.weight.numel() + out.numel())
        elif isinstance(one, nn.Dropout):
            dropped += out.numel()
        elif isinstance(one, nn.ReLU):
            between += 4 * 5 * out.numel()  # y ─► h; g and h ─► g by y
            passing += 4 * 5 * out.numel() / ceilings.stream(4 * 2 * out.numel())
        elif isinstance(one, nn.MaxPool2d):
            between += 4 * 2 * (given.numel() + out.numel())
            passing += 4 * 2 * (given.numel() + out.numel()) / ceilings.stream(4 * (given.numel() + out.numel()))
        first &= not isinstance(one, nn.Linear | nn.Conv2d)
    found.append(Part("products", operations, moved, seconds))
    found.append(Part("activations", between / 4, between, passing))
    found.append(Part("masks", dropped, 2 * dropped, 2 * dropped / ceilings.random))
    count = sum(p.numel() for p in network.parameters())
    update = 4 * 7 * count
    found.append(Part("update", 16 * count, update, update / ceilings.stream(4 * 4 * count)))
    batch = x.numel() * (1 + 1 + 4)  # read, and by the index written, as bytes and as floats
    found.append(Part("batch", x.numel(), batch, batch / ceilings.stream(batch)))
    return found


def bare(network: nn.Module, x: Tensor, y: Tensor, clock: Clock, steps: int = STEPS) -> float:
    """Seconds of a step of a hand-written loop, whose tensors are floats in memory."""
    x, optimizer = x.float().div_(255), torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    order = torch.randperm(len(x), device=x.device).split(BATCH)

    def step(index: Tensor) -> None:
        loss = F.cross_entropy(network(x[index]), y[index]) + penalty(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for index in order[:10]:
        step(index)
    return clock.seconds(lambda: [step(index) for index in order[:steps]], 1) / min(steps, len(order))


def regnet(name: str, clock: Clock, epochs: int = 3) -> float:
    """Seconds of a step of `regnet-train` with all that is on by default; the least of the epochs after the first."""

    class Timed(Stopwatch):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            clock._wait()
            self.starts.append(clock.now())

        def on_validation_start(self, trainer, pl_module) -> None:
            clock._wait()
            self.trained.append(clock.now())

    stopwatch, device = Timed(), f"trainer.accelerator={clock.device.type}"
    fit(name, STEPS * BATCH, epochs, stopwatch, device, root=os.environ["REGNET_DATA"])
    trained = zip(stopwatch.starts, stopwatch.trained, strict=False)
    return min(end - start for start, end in list(trained)[1:]) / STEPS


def measure(name: str, rounds: int, ceilings: Ceilings, x: Tensor, y: Tensor) -> dict[str, Any]:
    network = plain(name).to(x.device)
    found = parts(network, x[:BATCH], ceilings)
    steps: dict[str, list[float]] = {"bare": [], "regnet": []}
    for _ in range(rounds):
        steps["bare"].append(bare(plain(name).to(x.device), x, y, ceilings.clock))
        steps["regnet"].append(regnet(name, ceilings.clock))
    floor = sum(part.seconds for part in found)
    return {
        "parts": [asdict(part) for part in found],
        "floor": floor,
        "fused Adam": ceilings.adam(sum(p.numel() for p in network.parameters())),
        **{arm: statistics.median(times) for arm, times in steps.items()},
        "over floor": {arm: sorted(time / floor for time in times) for arm, times in steps.items()},
    }


def tell(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}: {'':<13}Mop      kB    µs   GFLOP/s   GB/s")
    for part in found["parts"]:
        us = part["seconds"] * 1e6
        print(
            f"  {part['name']:<18}{part['operations'] / 1e6:9.2f}{part['bytes'] / 1e3:8.0f}{us:6.0f}"
            f"{part['operations'] / us / 1e3:10.1f}{part['bytes'] / us / 1e3:7.1f}"
        )
    print(f"  {'floor':<35}{found['floor'] * 1e6:6.0f}   (torch's fused Adam: {found['fused Adam'] * 1e6:.0f})")
    for arm in ("bare", "regnet"):
        over = found["over floor"][arm]
        spread = f"({over[0]:.2f} to {over[-1]:.2f})"
        print(f"  {arm:<35}{found[arm] * 1e6:6.0f}   {found[arm] / found['floor']:.2f}x the floor {spread}", flush=True)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py floor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default=",".join(NETWORKS), help="by commas")
    parser.add_argument("--save", type=Path, help="the results as JSON")
    arguments = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # for both arms, as `regnet-train` does
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)

    ceilings = Ceilings(device)
    with mnist() as made_up:
        from torchvision.datasets import MNIST

        data = MNIST(os.environ["REGNET_DATA"])
        x, y = (tensor[: (STEPS + 10) * BATCH].to(device) for tensor in (data.data[:, None], data.targets))
        results: dict[str, Any] = {"threads": arguments.threads, "torch": torch.__version__, "made up": made_up}
        results |= {"random bytes/s": ceilings.random}
        results |= {f"{name} bytes/s": ceilings.stream(size) for name, size in SIZES.items()}
        square = ceilings.product(1024, 1024, 1024)
        results["GFLOP/s of 1024 x 1024"] = 2 * 1024**3 / square / 1e9
        print(json.dumps(results))
        for name in arguments.only.split(","):
            results[name] = measure(name, arguments.rounds, ceilings, x, y)
            tell(name, results[name])
    if arguments.save:
        arguments.save.write_text(json.dumps(results, indent=1) + "\n")
