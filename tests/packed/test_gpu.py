"""Packs on a GPU."""

import pytest
import torch

from regnet import regularizers as R
from regnet.core.graphs import WARM, Graphed
from regnet.core.tasks import Classification
from regnet.models import CNN, MLP
from regnet.packed.module import PackedModule
from regnet.packed.noise import Noise
from regnet.packed.rules import stack as stack_optimizers
from regnet.packed.stack import Stack
from regnet.training.objective import Objective
from tests.helpers.commands import record, train
from tests.helpers.equality import close, folders

pytestmark = pytest.mark.gpu

DEVICE, ACCELERATOR = "cuda", "gpu"
NETWORKS = {
    "mlp": lambda: MLP((1, 6, 6), 3, [16], dropout=lambda: R.Dropout(0.4)),
    "cnn, batch norm": lambda: CNN((1, 6, 6), 3, [[4]], head=[5], norm="batch", dropout=lambda: R.GaussianDropout(0.4)),
}
SMALL = ["-m", "study=s", "logger=none", "trainer.max_epochs=3", "data.batch_size=64", "data.train_size=200"]
SMALL += ["model.widths=[16]", f"trainer.accelerator={ACCELERATOR}", "callbacks.last.every_seconds=1000"]


def device():
    return torch.device("cuda", torch.cuda.current_device()) if DEVICE == "cuda" else torch.device(DEVICE)


class Steps:
    """Steps of four networks, as `PackedModule` makes them."""

    def __init__(self, network, recorded):
        torch.manual_seed(0)
        each = [
            Objective(NETWORKS[network](), Classification(), {"l1": R.L1(0.01 * k), "l2": R.L2(0.01)}).to(device())
            for k in range(4)
        ]
        updates = [[R.WeightDecay(0.1).to(device()), R.MaxNorm(1.0).to(device())] for _ in each]
        self.stack = Stack(each, updates, recorded)
        optimizers = [torch.optim.Adam(one.parameters(), lr=1e-3 * (k + 1)) for k, one in enumerate(each)]
        self.rule, self.noise = stack_optimizers(optimizers, self.stack.params), Noise(device())
        self.noise.begin([1, 2, 3, 4])
        self.rates, self.rows = self.rule.lr.to(device(), torch.float32), slice(0, 4)
        generator = torch.Generator().manual_seed(0)
        self.x = torch.rand(20, 8, 1, 6, 6, generator=generator).to(device())
        self.y = torch.randint(3, (20, 8), generator=generator).to(device())

    def step(self, i):
        values, grads = self.stack.gradients(self.rows, self.x[i], self.y[i], self.noise, stacked=False)
        self.stack.before_step(self.rows, self.rates, grads, self.noise)
        self.rule.step(self.stack.params, grads)
        self.stack.after_step(self.rows)
        return values.clone()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_captured_step_is_the_step(network):
    computed, captured = Steps(network, recorded=False), Steps(network, recorded=True)
    for i in range(WARM + 6):
        torch.testing.assert_close(captured.step(i), computed.step(i), rtol=1e-3, atol=1e-4, msg=f"step {i}")
    for name, tensor in computed.stack.state.items():
        torch.testing.assert_close(captured.stack.state[name], tensor, rtol=1e-3, atol=1e-3, msg=name)
    played = [one for traced in captured.stack._gradients.values() for one in traced.recorded.values()]
    assert DEVICE == "cpu" or all(isinstance(one, Graphed) and one.works and one.captured for one in played)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_no_step_waits_for_the_gpu(network, recorded):
    steps = Steps(network, recorded)
    for i in range(WARM + 3):
        steps.step(i)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for i in range(10):
            steps.step(i)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_networks_that_leave_take_their_graphs_with_them():
    steps = Steps("mlp", recorded=True)
    for i in range(WARM + 3):
        steps.step(i)
    index = torch.tensor([0, 2, 3])
    for part in (steps.stack, steps.rule, steps.noise):
        part.keep(index)
    steps.rates, steps.rows = steps.rates[index.to(device())], slice(0, 3)
    played = [one for traced in steps.stack._gradients.values() for one in traced.recorded.values()]
    assert not any(one.captured for one in played if isinstance(one, Graphed))
    assert torch.stack([steps.step(i) for i in range(5)]).isfinite().all()


CASES = {
    "l2": ["regularizer=l2", "regularizer.l2.strength=0,1e-3,1e-2"],
    "seed": ["seed=range(3)"],
    "train size": ["data.train_size=128,150,300"],
    "sgd": ["optimizer=sgd", "optimizer.lr=0.05,0.01", "optimizer.momentum=0.9", "seed=0,1"],
    "schedule by the step": ["scheduler=one_cycle", "optimizer.lr=1e-3,1e-2"],
    "scheduled l2": ["regularizer=l2", "regularizer.l2.strength=1e-2,1e-3", "regularizer.l2.schedule=warmup:0.5,null"],
    "cnn": ["model=cnn", "model.stages=[[4],[6]]", "model.head=[8]", "seed=0,1"],
}


@pytest.mark.parametrize("case", CASES)
def test_packed_equals_alone(case, tmp_path):
    """Where nothing is drawn; in float32, whose sums the GPU takes in another order."""
    small = [word for word in SMALL if case != "cnn" or not word.startswith("model.widths")]
    runs = {}
    for name, launcher in (("alone", []), ("packed", ["hydra/launcher=packed"])):
        (tmp_path / name).mkdir()
        done = train(*small, *CASES[case], *launcher, cwd=tmp_path / name)
        assert done.code == 0, done.out + done.err
        assert name == "alone" or "in 1 pack" in done.out, done.out
        runs[name] = {key: record(one) for key, one in folders(tmp_path / name / "outputs/multirun/s").items()}
    assert runs["alone"].keys() == runs["packed"].keys()
    for key, alone in runs["alone"].items():
        assert runs["packed"][key]["status"] == alone["status"] == "completed"
        losses = [
            {part: one["last"][part]["loss"] for part in ("train", "val")} for one in (runs["packed"][key], alone)
        ]
        close(*losses, 1e-2)


DRAWN = {
    "dropout": ["regularizer=dropout", "regularizer.dropout.rate=0.2,0.5"],
    "augment": ["regularizer=augment"],
    "mixup": ["regularizer=mixup", "regularizer.mixup.strength=0.2,1"],
    "random erasing": ["regularizer=random_erasing"],
    "rand augment": ["regularizer=rand_augment"],
}


@pytest.mark.parametrize("case", DRAWN)
def test_what_is_drawn_does_not_depend_on_the_pack(case, tmp_path):
    found = []
    for size in (2, 4):
        (tmp_path / str(size)).mkdir()
        words = [*SMALL, *DRAWN[case], "seed=range(4)", "hydra/launcher=packed", f"hydra.launcher.size={size}"]
        done = train(*words, cwd=tmp_path / str(size))
        assert done.code == 0, done.out + done.err
        runs = folders(tmp_path / str(size) / "outputs/multirun/s")
        found.append({key: record(one)["last"]["train"]["loss"] for key, one in runs.items()})
    assert len(set(found[0].values())) == len(found[0])
    close(found[0], found[1], 1e-2)


def test_a_study_whose_runs_end_at_different_times(tmp_path):
    words = ["regularizer=early_stopping", "regularizer.early_stopping.patience=1,3", "trainer.max_epochs=12"]
    done = train(*SMALL, *words, "optimizer.lr=1e-3,3e-2", "hydra/launcher=packed", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    records = [record(one) for one in folders(tmp_path / "outputs/multirun/s").values()]
    assert [one["status"] for one in records] == ["completed"] * 4


def test_a_run_alone_with_everything_on(tmp_path):
    words = ["regularizer=[dropout,l1,l2,max_norm,mixup]", "regularizer.dropout.schedule=linear:1:0.2", "seed=0"]
    done = train(*SMALL, *words, "trainer.max_epochs=30", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    (only,) = folders(tmp_path / "outputs/multirun/s").values()
    assert record(only)["metrics"]["val"]["accuracy"] > 0.5


def test_members_are_tested_where_they_were_trained(tmp_path, monkeypatch):
    places, dismissed = [], PackedModule._dismiss

    def dismiss(module, leaving):
        members = list(module.members)
        dismissed(module, leaving)
        places.extend(member.data.test.tensor.device.type for member in members)

    monkeypatch.setattr(PackedModule, "_dismiss", dismiss)
    done = train(*SMALL, "seed=0,1", "hydra/launcher=packed", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    assert places == [DEVICE] * 2
