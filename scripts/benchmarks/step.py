"""What a training step costs under regnet, beside a bare loop and beside the usual Lightning code.

    python scripts/benchmark.py step [--rounds 5] [--epochs 2] [--threads N]

MLP 784-128-10, ReLU, dropout 0.5, L2, Adam, batches of 128, the real MNIST (REGNET_DATA). Three arms, in turn,
round after round in one process, so that a drift of the machine's speed hits all of them:

    bare    a hand-written loop: tensors in memory, nn.Dropout, fused Adam, the penalty as a sum over weights
    regnet  `regnet-train data=mnist 'regularizer=[dropout,l2]'` with all that is on by default: TensorBoard,
            metrics.csv, checkpoints, every term logged, train and validation metrics each epoch
    usual   torchvision's dataset and transforms through a DataLoader, nn.Dropout, self.log in each step,
            TensorBoard, checkpoint, validation each epoch

Every arm sees the same 54,000 training and 6,000 validation images. `step` is the time of an epoch's training
part by its steps; `epoch` is everything from one epoch's start to the next one's, validation, logging and
checkpoints included (the bare loop evaluates the validation set once, and logs nothing).
"""

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import lightning
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from torch import nn

from regnet.compose.build import build
from regnet.compose.config_files import config_folder
from regnet.compose.trainer import build_trainer

BATCH, TRAIN, L2 = 128, 54_000, 1e-4
STEPS = -(-TRAIN // BATCH)
ROOT = os.environ.get("REGNET_DATA", "data")

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


def bare(epochs: int) -> Times:
    from torchvision.datasets import MNIST

    data = MNIST(ROOT)
    x = data.data.flatten(1).float().div_(255)
    x, y = (x - 0.1307) / 0.3081, data.targets
    x, y, x_val, y_val = x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    times = []
    for _ in range(epochs):
        start = time.perf_counter()
        net.train()
        order = torch.randperm(TRAIN)
        for i in range(0, TRAIN, BATCH):
            index = order[i : i + BATCH]
            loss = F.cross_entropy(net(x[index]), y[index])
            loss = loss + L2 * sum(w.square().sum() for w in net.parameters() if w.ndim > 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained = time.perf_counter()
        net.eval()
        with torch.no_grad():
            F.cross_entropy(net(x_val), y_val).item()
        times.append((trained - start, time.perf_counter() - start))
    return times


def regnet(epochs: int) -> Times:
    overrides = ["data=mnist", f"data.root={ROOT}", "regularizer=[dropout,l2]", f"regularizer.l2.strength={L2}"]
    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            cfg = compose("train", [*overrides, f"trainer.max_epochs={epochs}", f"folder={folder}"])
        setup = build(cfg)
        trainer = build_trainer(cfg, {"stopwatch": stopwatch}, folder)
        trainer.fit(setup.module, datamodule=setup.data)
    return stopwatch.times()


class Usual(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        loss = loss + L2 * sum(w.square().sum() for w in self.net.parameters() if w.ndim > 1)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self.net(x)
        self.log("val/loss", F.cross_entropy(logits, y))
        self.log("val/accuracy", (logits.argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def usual(epochs: int) -> Times:
    from torch.utils.data import DataLoader, Subset
    from torchvision import transforms
    from torchvision.datasets import MNIST

    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.1307, 0.3081)])
    data = MNIST(ROOT, transform=scale)
    train, val = Subset(data, range(TRAIN)), Subset(data, range(TRAIN, len(data)))
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
        trainer.fit(Usual(), DataLoader(train, BATCH, shuffle=True), DataLoader(val, 1024))
    return stopwatch.times()


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py step", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="of each arm in a round; the first is not counted")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args(argv)
    if not (Path(ROOT) / "MNIST").is_dir():
        sys.exit(f"benchmark: there is no MNIST in {ROOT!r}; set REGNET_DATA to the folder that holds it")
    torch.set_num_threads(arguments.threads)
    if not torch.cuda.is_available():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # for all arms, as `regnet-train` does for itself
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    arms = {"bare": bare, "regnet": regnet, "usual": usual}
    rounds: dict[str, Times] = {name: [] for name in arms}
    for number in range(arguments.rounds):
        for name, arm in arms.items():
            counted = arm(max(2, arguments.epochs))[1:]
            rounds[name].append(tuple(statistics.fmean(column) for column in zip(*counted, strict=True)))
            print(f"round {number + 1} {name:<6} {rounds[name][-1][0] / STEPS * 1e6:7.0f} us a step", flush=True)

    print(f"\n{arguments.rounds} rounds, {arguments.threads} threads, torch {torch.__version__}; median (min to max)")
    for column, what in enumerate(("step", "epoch")):
        for name in arms:
            times = [time[column] / STEPS * 1e6 for time in rounds[name]]
            ratios = [time[column] / base[column] for time, base in zip(rounds[name], rounds["bare"], strict=True)]
            print(
                f"{what:<6} {name:<7} {statistics.median(times):6.0f} us ({min(times):.0f} to {max(times):.0f})"
                f"   {statistics.median(ratios):5.2f}x bare ({min(ratios):.2f} to {max(ratios):.2f})"
            )
