"""Shared by all tests: nothing here is about one part of regnet."""

import gc
import signal
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import DictConfig
from torch import nn

from tests.helpers.quick_hydra import quick_hydra

CONF = Path(__file__).parents[1] / "conf"


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tiny tensors are slower on more threads, and the tests may share the cores."""
    torch.set_num_threads(1)


def pytest_configure():
    gc.disable()  # to find tests makes no garbage
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background of a shell: its children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def nothing_so_far_is_garbage():
    """What was imported and collected is there to the end: to look through it again and again takes seconds."""
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def read_once():
    """What each run reads again, and is the same each time: the digits."""
    with patch.object(np, "loadtxt", cache(np.loadtxt)):
        yield


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def compose_train():
    """conf/train.yaml with overrides, as the command line composes it; no logger."""

    def composed(*overrides: str) -> DictConfig:
        with quick_hydra(), initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("train", ["logger=none", "folder=outputs", *overrides])

    return composed


@pytest.fixture(scope="session")
def make_trainer(tmp_path_factory):
    """A silent Trainer on the CPU that writes nothing of its own."""
    place = tmp_path_factory.mktemp("trainer")

    def make(**settings: object) -> Trainer:
        defaults = {
            "max_epochs": 2,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": any(isinstance(c, Checkpoint) for c in settings.get("callbacks", ())),
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "default_root_dir": place,
        }
        return Trainer(**defaults | settings)

    return make


@pytest.fixture
def every_kind() -> nn.Module:
    """One of each kind of parameter: 6 weights, and biases, norms and a shared weight that count for none."""
    layers = {
        "embedding": nn.Embedding(5, 4),
        "linear": nn.Linear(4, 3),
        "shared": nn.Linear(4, 3),
        "conv": nn.Conv2d(4, 6, 3, groups=2),
        "transposed": nn.ConvTranspose2d(6, 4, 2, groups=2),
        "bilinear": nn.Bilinear(2, 3, 2),
        "attention": nn.MultiheadAttention(4, 2),
        "batch": nn.BatchNorm2d(4),
        "layer1": nn.LayerNorm(4),
        "layer2": nn.LayerNorm((3, 4)),
        "group": nn.GroupNorm(2, 4),
        "instance": nn.InstanceNorm2d(4, affine=True),
        "rms": nn.RMSNorm((3, 4)),
        "slope": nn.PReLU(3),
    }
    network = nn.ModuleDict(layers)
    network["shared"].weight = network["linear"].weight
    return network
