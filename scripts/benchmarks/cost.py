"""What each regularizer costs: the time of a training step with it, by that of the same step without it.

    python scripts/benchmark.py cost [--rounds 5] [--only l1,l2,...] [--save docs/costs.json]

MLP 784-1024-1024-10, ReLU, Adam, batches of 128, the real MNIST (REGNET_DATA), under the Trainer, every entry of
conf/regularizer with its defaults; those whose site this network lacks in the smallest model that has it. The step
without and the step with take turns, round after round in one process, so that a drift of the machine's speed hits
both; the ratio is taken in each round. The second epoch of STEPS steps counts, its training part only.
"""

import argparse
import copy
import json
import logging
import os
import statistics
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from regnet.compose.build import build, load_data
from regnet.compose.config_files import config_folder
from regnet.compose.trainer import build_trainer
from regnet.core.errors import UserError
from regnet.data import DataModule

from .step import Stopwatch

ROOT = os.environ.get("REGNET_DATA", "data")
BATCH, STEPS = 128, 20
MODELS = {
    "mlp": ["model=mlp", "model.widths=[1024,1024]"],
    "cnn": ["model=cnn"],
    "resnet": ["model=resnet"],
    "resnet of two branches": ["model=resnet", "model.branches=2"],
}


READ: list[DataModule] = []


def seconds(regularizer: str, model: str) -> float:
    """Of one training step. Raises UserError where the model has no site for it."""
    overrides = [
        *("data=mnist", f"data.root={ROOT}", f"data.batch_size={BATCH}", f"data.train_size={STEPS * BATCH}"),
        *("logger=none", "callbacks.progress=null", "trainer.max_epochs=2", "trainer.accelerator=cpu"),
        *(f"regularizer={regularizer}", *MODELS[model]),
    ]
    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            cfg = compose("train", [*overrides, f"folder={folder}"])
        setup = build(cfg, load=_data)
        trainer = build_trainer(cfg, {**setup.regularizers.callbacks, "stopwatch": stopwatch}, folder)
        trainer.fit(setup.module, datamodule=setup.data)
    return stopwatch.times()[1][0] / STEPS


def _data(cfg: DictConfig) -> DataModule:
    """The same for all, read once."""
    if not READ:
        READ.append(load_data(cfg))
    return copy.copy(READ[0])


def model_for(regularizer: str) -> str:
    """The first of `MODELS` that can take it."""
    for model in MODELS:
        try:
            seconds(regularizer, model)
            return model
        except UserError as error:
            reason = error
    raise reason


def measure(regularizer: str, rounds: int) -> dict[str, object]:
    model = model_for(regularizer)
    pairs = [(seconds("none", model), seconds(regularizer, model)) for _ in range(rounds)]
    ratios = [with_it / without for without, with_it in pairs]
    return {
        "model": model,
        "ratio": round(statistics.median(ratios), 3),
        "from": round(min(ratios), 3),
        "to": round(max(ratios), 3),
    }


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted(path.stem for path in (config_folder() / "regularizer").glob("*.yaml"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(names), help="some of the entries")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", type=Path, help="the file that docs/catalogue.md takes its numbers from")
    arguments = parser.parse_args(argv)
    if not (Path(ROOT) / "MNIST").is_dir():
        sys.exit(f"benchmark: there is no MNIST in {ROOT!r}; set REGNET_DATA to the folder that holds it")
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # as `regnet-train` does
    if not torch.cuda.is_available():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    entries = json.loads(arguments.save.read_text())["entries"] if arguments.save and arguments.save.exists() else {}
    where = f"{arguments.threads} threads, torch {torch.__version__}"
    for name in arguments.only.split(","):
        entries[name] = measure(name, arguments.rounds)
        print("{0:<22} {ratio:5.2f}x ({from:.2f} to {to:.2f})  {model}".format(name, **entries[name]), flush=True)
        if arguments.save:
            measured = {"where": where, "rounds": arguments.rounds, "entries": dict(sorted(entries.items()))}
            arguments.save.write_text(json.dumps(measured, indent=1) + "\n")
