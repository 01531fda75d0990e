"""What a training step costs under regnet, beside a bare loop, the usual Lightning code, and Keras.

    python scripts/benchmark.py step [--rounds 5] [--networks 784-128-10,784-1024-1024-10,cnn] [--threads N]

Dropout 0.5, L1, L2, Adam, batches of 128 of the real MNIST (REGNET_DATA). The arms take turns, round after round, so
that a drift of the machine's speed hits all of them:

    bare    a hand-written loop: tensors in memory, whole-batch indexing, nn.Dropout, fused Adam, the penalties as sums
    regnet  `regnet-train data=mnist 'regularizer=[dropout,l1,l2]'` with all that is on by default: TensorBoard,
            metrics.csv, checkpoints, every term logged, train and validation metrics each epoch
    hooks   the same with steps_per_execution=1: each step by Lightning's hooks, none recorded
    eager   regnet without Lightning's hooks, but with no step recorded (only by --arms)
    whole   regnet with its recorded step as autograd leaves it, not simplified (only by --arms)
    usual   torchvision's dataset and transforms through a DataLoader, nn.Dropout, self.log in each step,
            TensorBoard, checkpoint, validation each epoch
    keras   Keras 3 at its fastest: tensors in memory, compiled, 32 steps per execution, checkpoint and log each epoch;
            in a process of its own. Needs pip install -e '.[benchmark]'; left out where it is not there.

All arms of a network see the same samples. `step` is the time of an epoch's training part by its steps; `epoch` is
everything from one epoch's start to the next one's, validation, logging and checkpoints included (the bare loop
evaluates the validation set once, and logs nothing). The first epoch of each arm is not counted: regnet records its
step in it, Keras compiles. All arms flush denormal numbers to zero, and none looks for a GPU where there is none.
"""

import argparse
import importlib.util
import json
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from unittest.mock import patch

import lightning
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from torch import nn

from regnet.compose.build import build
from regnet.compose.config_files import config_folder
from regnet.compose.trainer import build_loggers, build_trainer

BATCH, VAL, L1, L2 = 128, 6_000, 1e-5, 1e-4
ROOT = os.environ.get("REGNET_DATA", "data")
NETWORKS = {  # each with its hidden widths and the samples of an epoch
    "784-128-10": ([128], 54_000),
    "784-1024-1024-10": ([1024, 1024], 12_800),
    "cnn": (None, 6_400),
}
KERAS = Path(__file__).with_name("keras_step.py")

Times = list[tuple[float, float]]  # seconds of an epoch's training part, and of the whole epoch


class Stopwatch(Callback):
    """Notes when each epoch starts and when its training part ends."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.trained: list[float] = []

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.starts.append(time.perf_counter())

    def on_validation_start(self, trainer, pl_module) -> None:
        self.trained.append(time.perf_counter())

    def on_train_end(self, trainer, pl_module) -> None:
        self.starts.append(time.perf_counter())

    def times(self) -> Times:
        ends = self.starts[1:]
        return [(b - a, end - a) for a, b, end in zip(self.starts, self.trained, ends, strict=False)]


def plain(name: str) -> nn.Sequential:
    """The network by torch's own layers, dropout included; its inputs are images."""
    widths, _ = NETWORKS[name]
    if widths is None:
        convolutions = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        convolutions += [nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        features, widths = 64 * 7 * 7, [128]
    else:
        convolutions, features = [], 784
    hidden = [
        part
        for size, width in zip([features, *widths], widths, strict=False)
        for part in (nn.Linear(size, width), nn.ReLU(), nn.Dropout(0.5))
    ]
    return nn.Sequential(*convolutions, nn.Flatten(), *hidden, nn.Linear(widths[-1], 10))


def penalty(net: nn.Module) -> torch.Tensor:
    weights = [w for w in net.parameters() if w.ndim > 1]
    return L1 * sum(w.abs().sum() for w in weights) + L2 * sum(w.square().sum() for w in weights)


def bare(name: str, epochs: int) -> Times:
    from torchvision.datasets import MNIST

    samples, data = NETWORKS[name][1], MNIST(ROOT)
    x = (data.data[:, None].float().div_(255) - 0.1307) / 0.3081  # (N, 1, 28, 28)
    x, y, x_val, y_val = x[:samples], data.targets[:samples], x[-VAL:], data.targets[-VAL:]
    net = plain(name)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    times = []
    for _ in range(epochs):
        start = time.perf_counter()
        net.train()
        order = torch.randperm(samples)
        for i in range(0, samples, BATCH):
            index = order[i : i + BATCH]
            loss = F.cross_entropy(net(x[index]), y[index]) + penalty(net)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained = time.perf_counter()
        net.eval()
        with torch.no_grad():
            F.cross_entropy(net(x_val), y_val).item()
        times.append((trained - start, time.perf_counter() - start))
    return times


def fit(name: str, samples: int, epochs: int, stopwatch: Stopwatch, *more: str, root: str = ROOT) -> None:
    """Trains the network as `regnet-train` does."""
    widths, _ = NETWORKS[name]
    overrides = [
        *(["model=cnn"] if widths is None else [f"model.widths={widths}"]),
        "data=mnist",
        f"data.root={root}",
        f"data.batch_size={BATCH}",
        f"data.train_size={samples}",
        "regularizer=[dropout,l1,l2]",
        f"regularizer.l1.strength={L1}",
        f"regularizer.l2.strength={L2}",
        f"trainer.max_epochs={epochs}",
        *more,
    ]
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            cfg = compose("train", [*overrides, f"folder={folder}"])
        setup = build(cfg)
        trainer = build_trainer(cfg, {"stopwatch": stopwatch}, folder, build_loggers(cfg).values())
        trainer.fit(setup.module, datamodule=setup.data)


def regnet(name: str, epochs: int, *more: str) -> Times:
    stopwatch = Stopwatch()
    fit(name, NETWORKS[name][1], epochs, stopwatch, *more)
    return stopwatch.times()


def hooks(name: str, epochs: int) -> Times:
    return regnet(name, epochs, "steps_per_execution=1")


def eager(name: str, epochs: int) -> Times:
    with patch("regnet.training.gradients.PATIENCE", math.inf):
        return regnet(name, epochs)


def whole(name: str, epochs: int) -> Times:
    with patch("regnet.training.trace.simplified", side_effect=NotImplementedError):
        return regnet(name, epochs)


class Usual(lightning.LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self.net(x), y) + penalty(self.net)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self.net(x)
        self.log("val/loss", F.cross_entropy(logits, y))
        self.log("val/accuracy", (logits.argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def usual(name: str, epochs: int) -> Times:
    from torch.utils.data import DataLoader, Subset
    from torchvision import transforms
    from torchvision.datasets import MNIST

    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.1307, 0.3081)])
    data = MNIST(ROOT, transform=scale)
    train, val = Subset(data, range(NETWORKS[name][1])), Subset(data, range(len(data) - VAL, len(data)))
    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=epochs,
            logger=lightning.pytorch.loggers.TensorBoardLogger(folder),
            callbacks=[stopwatch],
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(Usual(plain(name)), DataLoader(train, BATCH, shuffle=True), DataLoader(val, 1024))
    return stopwatch.times()


def keras(name: str, epochs: int) -> Times:
    """On the backend of KERAS_BACKEND, which is JAX where nothing is set."""
    threads = torch.get_num_threads()
    flags = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()} intra_op_parallelism_threads={threads}"
    numbers = {f"{kind}_NUM_{what}": str(threads) for kind in ("OMP", "TF") for what in ("THREADS", "INTRAOP_THREADS")}
    environment = {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags, **numbers, **os.environ}
    arguments = json.dumps({"root": ROOT, "widths": NETWORKS[name][0], "samples": NETWORKS[name][1], "epochs": epochs})
    command = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))]
    done = subprocess.run(
        [*command, sys.executable, str(KERAS), arguments], env=environment, check=True, capture_output=True, text=True
    )
    return [tuple(pair) for pair in json.loads(done.stdout.splitlines()[-1])]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py step", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="of each arm in a round; the first is not counted")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="by commas")
    parser.add_argument("--arms", default="bare,regnet,hooks,usual,keras", help="by commas, with bare")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args(argv)
    if not (Path(ROOT) / "MNIST").is_dir():
        sys.exit(f"benchmark: there is no MNIST in {ROOT!r}; set REGNET_DATA to the folder that holds it")
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    if not torch.cuda.is_available():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # for all arms, as `regnet-train` does for itself
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    arms = {
        arm.__name__: arm
        for arm in (bare, regnet, hooks, eager, whole, usual, keras)
        if arm.__name__ in arguments.arms.split(",")
    }
    if importlib.util.find_spec("keras") is None and arms.pop("keras", None):
        print("keras: not measured, as it is not installed", flush=True)
    for network in arguments.networks.split(","):
        compare(network, arms, arguments)


def compare(network: str, arms: dict, arguments: argparse.Namespace) -> None:
    steps = -(-NETWORKS[network][1] // BATCH)
    rounds: dict[str, Times] = {name: [] for name in arms}
    for number in range(arguments.rounds):
        for name, arm in arms.items():
            counted = arm(network, max(2, arguments.epochs))[1:]
            rounds[name].append(tuple(statistics.fmean(column) for column in zip(*counted, strict=True)))
            print(f"round {number + 1} {name:<6} {rounds[name][-1][0] / steps * 1e6:7.0f} us a step", flush=True)

    measured = f"{arguments.rounds} rounds, {arguments.threads} threads, torch {torch.__version__}"
    print(f"\n{network}: {measured}; median (range)")
    for column, what in enumerate(("step", "epoch")):
        for name in arms:
            times = [time[column] / steps * 1e6 for time in rounds[name]]
            against = {"bare": "x bare", "regnet": "x regnet"}
            ratios = [
                f"{statistics.median(found):6.2f}{text} ({min(found):.2f} to {max(found):.2f})"
                for base, text in against.items()
                if base in rounds
                for found in [[a[column] / b[column] for a, b in zip(rounds[name], rounds[base], strict=True)]]
            ]
            low, middle, high = min(times), statistics.median(times), max(times)
            print(f"{what:<6} {name:<7} {middle:6.0f} us ({low:.0f} to {high:.0f})  {'  '.join(ratios)}", flush=True)
    print(flush=True)
