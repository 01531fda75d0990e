"""The steps that `benchmark.py gpu` measures: of one network, and of many at once."""

import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .step import BATCH, L1, L2, NETWORKS, Stopwatch, penalty, plain

NAME = "784-128-10"
TRAIN = NETWORKS[NAME][1]
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
SEEN = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cudaGraphLaunch", "cudaMemcpyAsync", *WAITS)


def images(device: torch.device) -> tuple[Tensor, Tensor]:
    """MNIST's training images, uint8 (N, 1, 28, 28), and labels."""
    from torchvision.datasets import MNIST

    data = MNIST(os.environ["REGNET_DATA"])
    return data.data[:TRAIN, None].to(device), data.targets[:TRAIN].to(device)


def single(found: dict[str, Any], left: Callable[[], float], device: str = "cuda", epochs: int = 3) -> None:
    """µs of a step: a bare loop, the same as a CUDA graph, and regnet-train, in turns until the time is over."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    x, y = images(torch.device(device))
    arms = {"bare": lambda: bare(x, y), "bare, graph": lambda: bare(x, y, graph=True), "regnet": lambda: regnet(epochs)}
    if device == "cpu":
        del arms["bare, graph"]
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(5):
        start = time.monotonic()
        for name, arm in arms.items():
            times[name].append(arm() * 1e6)
            found["us"] = {name: statistics.median(one) for name, one in times.items() if one}
        found["rounds"], found["all"] = number + 1, times
        if left() < 2 * (time.monotonic() - start):
            break


def bare(x: Tensor, y: Tensor, graph: bool = False) -> float:
    """Seconds of a step of a hand-written loop over tensors on the device, in the second of two epochs."""
    x, net = ((x.float() / 255) - 0.1307) / 0.3081, plain(NAME).to(x.device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True, capturable=graph)
    index = torch.zeros(BATCH, dtype=torch.int64, device=x.device)

    def step() -> None:
        loss = F.cross_entropy(net(x[index]), y[index]) + penalty(net)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    run = captured(step) if graph else step
    for _ in range(2):
        order = torch.randperm(len(x), device=x.device)
        synchronize(x.device)
        start = time.perf_counter()
        steps = len(x) // BATCH
        for i in range(steps):
            index.copy_(order[i * BATCH : (i + 1) * BATCH])
            run()
        synchronize(x.device)
        seconds = (time.perf_counter() - start) / steps
    return seconds


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """As torch's manual has it: warmed up on another stream, then captured."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def regnet(epochs: int) -> float:
    """Seconds of a step of `regnet-train` with all that is on by default, in the epochs after the first."""
    from hydra import compose, initialize_config_dir

    from regnet.compose.build import build
    from regnet.compose.config_files import config_folder
    from regnet.compose.trainer import build_loggers, build_trainer

    class Synchronized(Stopwatch):
        def on_validation_start(self, trainer, pl_module) -> None:
            synchronize(pl_module.device)
            super().on_validation_start(trainer, pl_module)

    stopwatch = Synchronized()
    root = os.environ["REGNET_DATA"]
    overrides = ["data=mnist", f"data.root={root}", f"data.batch_size={BATCH}", "regularizer=[dropout,l1,l2]"]
    overrides += [f"regularizer.l1.strength={L1}", f"regularizer.l2.strength={L2}"]
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            cfg = compose("train", [*overrides, f"trainer.max_epochs={epochs}", f"folder={folder}"])
        setup = build(cfg)
        trainer = build_trainer(cfg, {"stopwatch": stopwatch}, folder, build_loggers(cfg).values())
        trainer.fit(setup.module, datamodule=setup.data)
    steps = setup.data.batches()
    return statistics.median(trained / steps for trained, _ in stopwatch.times()[1:])


def stacked(
    found: dict[str, Any], left: Callable[[], float], device: str = "cuda", networks: int = 256, steps: int = 30
) -> None:
    """µs of a step of many networks at once, and what the profiler sees of it."""
    from regnet.training import trace

    place = torch.device(device, 0) if device == "cuda" else torch.device(device)
    x, y = images(place)
    usual, times = trace.captured, {}
    forms = {"computed": (False, usual), "recorded": (True, lambda function, *_: function), "graph": (True, usual)}
    for name, (recorded, capture) in forms.items():
        if name == "graph" and device == "cpu":
            continue
        trace.captured = capture
        try:
            step = whole_step(x, y, networks, recorded)
            for _ in range(10):
                next(step)
            synchronize(place)
            start = time.perf_counter()
            for _ in range(steps):
                next(step)
            synchronize(place)
            times[name] = (time.perf_counter() - start) / steps * 1e6
            found["us"] = dict(times)
            found[f"seen, {name}"] = seen(step)
        finally:
            trace.captured = usual
        del step
    if device == "cuda":
        found["GiB"] = torch.cuda.max_memory_allocated() / 2**30


def whole_step(x: Tensor, y: Tensor, networks: int, recorded: bool) -> Iterator[None]:
    """Each time the step of all networks on their next batch: gradients, update."""
    from regnet import regularizers as R
    from regnet.core.tasks import Classification
    from regnet.data.loader import as_float
    from regnet.models import MLP
    from regnet.packed.noise import Noise
    from regnet.packed.rules import stack as stack_optimizers
    from regnet.packed.stack import Stack
    from regnet.training.objective import Objective

    def objective(k: int) -> Objective:
        network = MLP((1, 28, 28), 10, [128], dropout=lambda: R.Dropout(0.1 * (k % 8)))
        return Objective(network, Classification(), {"l2": R.L2(L2 * (1 + k % 8))}).to(x.device)

    each = [objective(k) for k in range(networks)]
    optimizers = [torch.optim.Adam(one.parameters(), lr=1e-3) for one in each]
    stack, noise, rows = Stack(each, [[] for _ in each], recorded), Noise(x.device), slice(0, networks)
    rule = stack_optimizers(optimizers, stack.params)
    noise.begin(range(networks))
    while True:
        order = torch.randperm(len(x), device=x.device)
        for index in order.split(BATCH)[: len(x) // BATCH]:
            batch = as_float(x.index_select(0, index)), y.index_select(0, index)
            _, grads = stack.gradients(rows, *batch, noise, stacked=False)
            rule.step(stack.params, grads)
            yield


def seen(step: Iterator[None], steps: int = 5) -> dict[str, float]:
    """Calls of the GPU's driver in a step, by their names; the profiler's own wait at its end is left out."""
    with torch.profiler.profile() as profiler:
        for _ in range(steps):
            next(step)
    counts = {event.key: event.count for event in profiler.key_averages() if event.key in SEEN}
    if counts.get("cudaDeviceSynchronize"):
        counts["cudaDeviceSynchronize"] -= 1
    return {name: count / steps for name, count in counts.items() if count}


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
