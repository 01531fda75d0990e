"""The parts of a pack by themselves: composing, recording, chunks, noise, event files."""

import copy
import random

import pytest
import torch
import torch.nn.functional as F
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.func import vmap

from regnet.compose.config_files import config_folder
from regnet.compose.sweep_loader import SweepLoader
from regnet.core.tasks import Classification
from regnet.models import CNN, MLP
from regnet.packed.chunks import Chunks
from regnet.packed.forms import Forms
from regnet.packed.noise import Noise
from regnet.packed.stack import Stack
from regnet.regularizers import L1, L2, DropConnect, Dropout
from regnet.run.events import EventFile
from regnet.training.objective import Objective
from regnet.training.trace import Traced, takes_no_decisions
from tests.helpers.quick_hydra import quick_hydra

CPU = torch.device("cpu")


@pytest.fixture
def loader():
    """Hydra's loader, ours around it, and the config of the sweep."""
    with quick_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        plain = GlobalHydra.instance().config_loader()
        yield plain, SweepLoader(plain), plain.load_configuration("train", [], RunMode.MULTIRUN)


OWN_DIRNAME = [
    "hydra.job.config.override_dirname.exclude_keys=[seed]",
    "hydra.job.config.override_dirname.kv_sep=:",
    "hydra.job.config.override_dirname.item_sep=__",
]
JOBS = [
    ["regularizer=l2", "regularizer.l2.strength=1e-4", "seed=0"],
    ["regularizer=l2", "regularizer.l2.strength=1e-3", "seed=1"],
    ["regularizer=[dropout,l2]", "regularizer.l2.strength=0.5", "seed=1"],
    ["regularizer=none", "++regularizer.l2.strength=1", "seed=1"],
    ["regularizer=none", "++regularizer.l2.strength=null", "seed=2"],
    ["model=cnn", "+new=1", "model.stages=[[4],[8,8]]"],
    ["model=cnn", "+new=2", "model.stages=[[1]]"],
    ["data.val_fraction='0.1'", "optimizer.betas=[0.9,0.99]"],
    ["data.val_fraction=0.3", "optimizer.betas=[0.5,0.5]"],
    ["~trainer.profiler", "trainer.max_epochs=3"],
    ["~trainer.profiler", "trainer.max_epochs=4"],
    ["model={widths: [3]}", "seed=4"],
    ["study='${seed}'", "seed=5"],
    ["study=other", "seed=6"],
    ["trainer.max_epochs=3", "seed=7", *OWN_DIRNAME],
    ["trainer.max_epochs=4", "seed=8", *OWN_DIRNAME],
]


def test_jobs_are_composed_as_hydra_does(loader):
    plain, ours, master = loader
    for _ in range(2):
        for job in JOBS:
            got, expected = (which.load_sweep_config(master, list(job)) for which in (ours, plain))
            assert OmegaConf.to_yaml(got) == OmegaConf.to_yaml(expected)
            assert OmegaConf.is_struct(got) == OmegaConf.is_struct(expected)
    assert len(ours.composed) < len(JOBS)


def test_jobs_do_not_share_their_configs(loader):
    _, ours, master = loader
    first, second = (ours.load_sweep_config(master, [f"seed={seed}"]) for seed in (1, 2))
    first.data.batch_size = 7
    assert (first.seed, second.seed, second.data.batch_size) == (1, 2, 128)
    assert ours.load_sweep_config(master, ["seed=3"]).data.batch_size == 128


@pytest.mark.parametrize("job", [["seed=1", "regularizer=l3"], ["seed=1", "optimizer.lrr=1"]])
def test_a_job_that_cannot_be_composed_fails_as_under_hydra(loader, job):
    plain, ours, master = loader
    ours.load_sweep_config(master, ["seed=1", "optimizer.lr=1"])
    with pytest.raises(HydraException) as expected:
        plain.load_sweep_config(master, list(job))
    with pytest.raises(HydraException) as got:
        ours.load_sweep_config(master, list(job))
    assert str(got.value) == str(expected.value)


def test_only_known_modules_are_recorded():
    class Counting(nn.Linear):
        def forward(self, x):
            return super().forward(x) * random.random()

    assert takes_no_decisions([CNN((1, 8, 8), 10), L2(1e-3), nn.BatchNorm2d(3)])
    assert not takes_no_decisions([nn.Sequential(nn.Linear(2, 2), Counting(2, 2))])
    for network, known in ((nn.Linear(2, 2), True), (Counting(2, 2), False)):
        DropConnect(0.5).put_on(network)  # its class is then one that torch has made
        assert takes_no_decisions([network]) == known


def objective(make=lambda: MLP((1, 4, 4), 3, [6], dropout=lambda: Dropout(0.4)), strength=0.1):
    return Objective(make(), Classification(), {"l1": L1(strength), "l2": L2(strength)})


@pytest.mark.parametrize("make", [None, lambda: CNN((1, 4, 4), 3, [[2]], head=[5], norm="batch")])
def test_a_recorded_step_is_the_step(make):
    each = [objective(*([make] if make else []), strength=0.1 * k) for k in range(4)]
    x, y = torch.rand(5, 1, 4, 4), torch.randint(3, (5,))
    results = []
    for recorded in (False, True):
        stack, noise = Stack(copy.deepcopy(each), [[] for _ in each], recorded), Noise(CPU)
        for epoch in range(3):  # what is recorded in the first call is played again in the others
            noise.begin([10 * epoch + k for k in range(4)])
            values, grads = stack.gradients(slice(0, 4), x, y, noise, stacked=False)
        results.append({"values": values} | grads | stack.buffers)
    for name, tensor in results[0].items():
        torch.testing.assert_close(results[1][name], tensor, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_stacked_linear_layers_are_linear_layers(shared, bias):
    x = torch.randn(5, 4) if shared else torch.randn(3, 5, 4)
    w, b = torch.randn(3, 2, 4), torch.randn(3, 2)
    inputs = [tensor.double().requires_grad_() for tensor in ([x, w, b] if bias else [x, w])]

    def under_forms(*own):
        with Forms():
            return F.linear(*own)

    dims = (None if shared else 0, *(0 for _ in inputs[1:]))
    got = vmap(under_forms, in_dims=dims)(*inputs)
    expected = torch.stack(
        [F.linear(*(t if d is None else t[k] for t, d in zip(inputs, dims, strict=True))) for k in range(3)]
    )
    torch.testing.assert_close(got, expected)
    weights = torch.randn_like(got)
    for mine, theirs in zip(
        *(torch.autograd.grad((out * weights).sum(), inputs) for out in (got, expected)), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("soft", [True, False])
def test_the_stacked_cross_entropy_is_the_cross_entropy(soft):
    logits = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    y = torch.rand(3, 5, 4, dtype=torch.float64).softmax(2) if soft else torch.randint(4, (3, 5))

    def under_forms(logits, y):
        with Forms():
            return F.cross_entropy(logits, y)

    got = vmap(under_forms)(logits, y)
    expected = torch.stack([F.cross_entropy(logits[k], y[k]) for k in range(3)])
    torch.testing.assert_close(got, expected)
    for mine, theirs in zip(*(torch.autograd.grad(out.sum(), logits) for out in (got, expected)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_equal_networks_draw_noise_of_their_own():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Dropout(0.5), nn.Linear(6, 3))
    each = [objective(lambda: network) for _ in range(8)]
    stack, noise = Stack(each, [[] for _ in each]), Noise(CPU)
    noise.begin(range(8))
    values, _ = stack.gradients(slice(0, 8), torch.rand(5, 1, 4, 4), torch.randint(3, (5,)), noise, stacked=False)
    again, _ = stack.gradients(slice(0, 8), torch.rand(5, 1, 4, 4), torch.randint(3, (5,)), noise, stacked=False)
    assert len(set(values[:, 0].tolist())) == 8
    assert not torch.equal(values, again)


def test_networks_with_the_same_seed_draw_the_same_words():
    each = [objective() for _ in range(3)]
    noise = Noise(CPU)
    noise.begin([1, 2, 1])
    _, words = noise.step(each[0], slice(0, 3), torch.rand(5, 1, 4, 4), torch.randint(3, (5,)))
    assert torch.equal(words[0], words[2])
    assert not torch.equal(words[0], words[1])


def test_the_fastest_number_of_networks_is_found():
    chunks = Chunks(runs=64, each=Chunks.CACHE // 8, steps=10_000, device=CPU)
    tried = []
    for _ in range(100):
        tried.append(chunks.size)
        chunks.took(abs(chunks.size - 30) + 1 + (5 if len(tried) % 4 == 1 else 0))
    assert tried[0] == 8
    assert chunks.settled
    assert chunks.size == 32


def test_a_training_that_is_short_is_not_spent_on_trials():
    chunks = Chunks(runs=64, each=Chunks.CACHE // 8, steps=30, device=CPU)
    for number in range(30):
        chunks.took(1.0 if number == 0 else 0.1)
        assert chunks.size == 8
    assert Chunks(runs=64, each=1, steps=30, device=torch.device("cuda")).size == 64
    assert Chunks(runs=5, each=1, steps=30, device=CPU).size == 5


def test_event_files_are_those_that_tensorboard_reads(tmp_path):
    first = EventFile(tmp_path)
    for step in range(4):
        first.log_metrics({"loss": 1.0 / (1 + step), "val/accuracy": 0.5}, step)
        first.save()
    resumed = EventFile(tmp_path, purge_step=2)
    resumed.log_metrics({"loss": 7.0}, 2)
    resumed.save()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(0, 1.0), (1, 0.5), (2, 7.0)]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_recorded_takes_its_casts_from_the_recording():
    """Autocast applies where the function lets it, and not once more to what was recorded."""

    def products(w):
        with torch.autocast("cpu", enabled=False):
            exact = w @ w.mT
        return exact, w @ w.mT

    recorded, w = Traced(products, 0), torch.randn(5, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(2):
            exact, rounded = recorded(w)
            assert exact.dtype == torch.float32
            assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(exact, w @ w.mT)
