"""A pack leaves frozen weights, and those without a gradient, where a run alone leaves them."""

import copy
import textwrap

import pytest
import torch
from torch import nn

from regnet.core.tasks import Classification
from regnet.packed.noise import Noise
from regnet.packed.stack import Stack
from regnet.regularizers import L1, L2, L2SP, GroupLasso, MaxNorm, ProximalL1, UnitNorm, WeightDecay
from regnet.training.objective import Objective
from tests.helpers.commands import train

NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, num_outputs, idle=False):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, num_outputs)
        self.first.requires_grad_(False)
        if idle:
            self.idle = nn.Linear(8, 8)

    def forward(self, x):
        return self.head(self.second(self.first(x.flatten(1)).relu()).relu())
"""
SMALL = ["-m", "study=s", "logger=none", "trainer.max_epochs=2", "data.train_size=100", "trainer.precision=64-true"]


class Partly(nn.Module):
    """Its first layer is frozen."""

    def __init__(self):
        super().__init__()
        self.frozen, self.free, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.frozen.requires_grad_(False)

    def forward(self, x):
        return self.head(self.free(self.frozen(x)).relu())


UPDATES = {
    "decay": lambda: WeightDecay(2.0, scale={"layer:0": 0.5, "layer:-1": 2.0}),
    "max-norm": lambda: MaxNorm(0.3),
    "unit norm": lambda: UnitNorm(),
    "proximal": lambda: ProximalL1(0.5),
}


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", UPDATES)
def test_updates_of_a_stack_leave_frozen_weights(name, recorded):
    networks = [Partly().double() for _ in range(3)]
    before = copy.deepcopy(networks)
    objectives = [Objective(network, Classification(), {"l2": L2(1.0)}).double() for network in networks]
    stack = Stack(objectives, [[UPDATES[name]()] for _ in networks], recorded)
    lr, steps = torch.full((3,), 0.1), {key: torch.full_like(p, 0.1) for key, p in stack.params.items()}
    for _ in range(2):
        stack.before_step(slice(0, 3), lr, {}, Noise(torch.device("cpu")))
        stack.after_step(slice(0, 3), steps)
    for network, start in zip(networks, before, strict=True):
        assert torch.equal(network.frozen.weight, start.frozen.weight)
        update = UPDATES[name]()
        for _ in range(2):
            if name == "decay":
                start.free.weight.data.mul_(1 - 0.1 * 2.0)  # the first layer is the frozen one
                start.head.weight.data.mul_(1 - 2 * 0.1 * 2.0)
            elif name == "proximal":
                for w in (start.free.weight, start.head.weight):
                    w.data.copy_(torch.nn.functional.softshrink(w.data, 0.05))
            else:
                update(start)
        assert not torch.equal(network.free.weight, start.frozen.weight)
        torch.testing.assert_close(network.free.weight, start.free.weight, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(network.head.weight, start.head.weight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("make", [lambda: L1(0.3), lambda: L2(0.3, scale={"layer:0": 3}), lambda: GroupLasso(0.3)])
def test_penalties_of_a_stack_are_those_of_what_is_trained(make):
    networks = [Partly().double() for _ in range(3)]
    objectives = [Objective(network, Classification(), {"it": make()}).double() for network in networks]
    alone = [make().double()(network).item() for network in networks]
    expected = [make().double()(nn.ModuleList([network.free, network.head])) for network in networks[:1]]
    if not make().scale:
        assert alone[0] == pytest.approx(expected[0].item())
    x, y = torch.randn(5, 4).double(), torch.randint(3, (5,))
    noise = Noise(torch.device("cpu"))
    noise.begin([0, 1, 2])
    for recorded in (False, True):
        stack = Stack(copy.deepcopy(objectives), [[] for _ in networks], recorded)
        values, grads = stack.gradients(slice(0, 3), x, y, noise, stacked=False)
        assert values[:, 1].tolist() == pytest.approx(alone)
        assert not any(name.startswith("network.frozen") for name in grads)


def folders(study):
    return {path.parent.name: path.parent for path in study.glob("*/record.json")}


@pytest.mark.parametrize(
    ("choice", "packs"),
    [
        (["regularizer=[l2,weight_decay,max_norm]", "regularizer.max_norm.radius=0.5", "seed=0,1"], True),
        (["regularizer=[l2_sp,proximal_l1]", "regularizer.l2_sp.strength=0.1", "seed=0,1"], True),
        (["regularizer=weight_decay", "+model.idle=true", "seed=0,1"], False),  # a stack wants a gradient of each
    ],
)
def test_packed_equals_alone_with_a_frozen_layer(choice, packs, tmp_path, monkeypatch):
    (tmp_path / f"net_{tmp_path.name}.py").write_text(textwrap.dedent(NETWORK))
    monkeypatch.syspath_prepend(tmp_path)
    command = [*SMALL, "~model.widths", f"model._target_=net_{tmp_path.name}.Net", *choice]
    states = {}
    for name in ("alone", "packed"):
        (tmp_path / name).mkdir()
        done = train(*command, *(["hydra/launcher=packed"] * (name == "packed")), cwd=tmp_path / name)
        assert done.code == 0, done.out + done.err
        if name == "packed":
            assert ("are trained alone" not in done.out) == packs, done.out
        states[name] = {
            run: torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
            for run, folder in folders(tmp_path / name / "outputs" / "multirun" / "s").items()
        }
    assert len(states["alone"]) == 2
    assert states["alone"].keys() == states["packed"].keys()
    for run, state in states["alone"].items():
        assert list(state) == list(states["packed"][run])
        for key, tensor in state.items():
            torch.testing.assert_close(states["packed"][run][key], tensor, rtol=1e-9, atol=1e-12, msg=key)
        assert state["objective.network.model.first.weight"].norm(dim=1).max() > 0.5, "frozen: no max-norm"


def test_the_starting_point_of_a_frozen_layer_is_there_when_it_is_unfrozen():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    network[0].requires_grad_(False)
    penalty = L2SP(1.0)
    penalty.begin(network)
    with torch.no_grad():
        for w in network.parameters():
            w.add_(1.0)
    assert penalty(network).item() == pytest.approx(6)
    network[0].requires_grad_(True)
    assert penalty(network).item() == pytest.approx(6 + 9)
