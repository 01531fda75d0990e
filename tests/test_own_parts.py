"""Parts of a person's own: what a base class asks of them by methods and attributes with defaults."""

import json

import pytest
import torch
from torch import nn

import regnet
from regnet.compose.build import build
from regnet.regularizers import DropConnect, WeightLayerPenalty
from regnet.run.checkpoints import read_checkpoint
from tests.helpers.commands import TINY, evaluate, train, train_into
from tests.helpers.equality import compare, folders

PARTS = """
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from regnet.core import hyperparameters
from regnet.regularizers import L2, BatchTransform, PenalizedLayer, WeightLayer
from regnet.training.callbacks import NetworkCallback


class Half(WeightLayer):
    def forward(self, weight):
        return weight / 2


class Priced(Half):
    def penalty(self, weight):
        return weight.square().sum()


class Layer(PenalizedLayer):
    def forward(self, x):
        return x

    def penalty(self):
        return nn.Parameter().new_tensor(3.0)


class Doubled(NetworkCallback):
    def wrap(self, network):
        network.append(nn.Identity())
        return network


class Gift(Callback):
    wrap = "ribbon"


class Lonely(L2):
    unpackable = "it likes to be alone"


class FastGradient(BatchTransform):
    stage = BatchTransform.INPUTS
    of_objective = True

    def __init__(self, strength):
        super().__init__()
        self.register_buffer("strength", hyperparameters.strength(strength))

    def forward(self, x, y, objective):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(objective(x, y)["loss"], x)
        return x + self.strength.to(x.dtype) * slope.sign(), y


class Halved(BatchTransform):
    stage = BatchTransform.INPUTS

    def forward(self, x, y):
        return x / 2, y
"""
COUNTING = """
import torch
from regnet.regularizers import Penalty


class Counting(Penalty):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))

    def begin(self, network):
        network.register_forward_hook(lambda module, inputs, output: setattr(self, "logits", output))

    def forward(self, network, **_):
        self.calls += 1
        self.seen += 1
        return self.logits.square().mean()
"""
ANNEALED = """
from regnet.regularizers import Penalty


class Annealed(Penalty):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, network, logits, **_):
        self.calls += 1
        return logits.square().mean() / self.calls
"""
ATTACK = ["+regularizer.mine._target_=mynet_parts.FastGradient", "+regularizer.mine.strength=0.1"]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    (tmp_path / "mynet_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)


def built(compose_train, target):
    return build(compose_train(*TINY, f"+regularizer.mine._target_=mynet_parts.{target}")).module.objective


@pytest.mark.parametrize(("target", "terms"), [("Half", []), ("Priced", ["mine"])])
def test_a_weight_layer_asks_for_a_penalty_or_for_none(parts, compose_train, target, terms):
    assert list(built(compose_train, target).penalties) == terms


def test_a_layer_asks_for_its_penalty(parts, compose_train):
    layer = ["+regularizer.mine._target_=mynet_parts.Layer", "+regularizer.mine.after=ReLU"]
    objective = build(compose_train(*TINY, *layer)).module.objective
    assert objective(torch.rand(4, 1, 8, 8), torch.arange(4))["penalty/mine"] == 3


def test_a_penalty_of_layers_that_ask_for_none_is_refused():
    network = nn.Sequential(nn.Linear(2, 2))
    DropConnect(0.5).put_on(network)
    with pytest.raises(ValueError, match="DropConnect asks for no penalty"):
        WeightLayerPenalty(DropConnect).begin(network)


def test_callbacks_change_the_network_only_where_they_are_for_that(parts, compose_train):
    assert isinstance(built(compose_train, "Doubled").network[-1], nn.Identity)
    assert not isinstance(built(compose_train, "Gift").network[-1], nn.Identity)


def test_what_cannot_be_packed_says_why(parts, tmp_path):
    mine = ["+regularizer.mine._target_=mynet_parts.Lonely", "+regularizer.mine.strength=0.1"]
    done = train("-m", "study=s", *TINY, *mine, "seed=0,1", "hydra/launcher=packed", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: 2 runs are trained alone, as regularizer.mine: it likes to be alone" in done.out


def test_a_transform_sees_the_objective_that_is_trained(parts, compose_train):
    setup = build(compose_train(*TINY, *ATTACK, "regularizer=[dropout,r_drop,jacobian]"))
    objective, (transform,) = setup.module.objective, setup.module.transforms
    x, y = next(iter(setup.data.train_dataloader()))
    torch.manual_seed(1)
    attacked, same = transform(x, y, objective)
    torch.manual_seed(1)
    moved = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(objective.loss(objective.network(torch.cat([moved] * 2)), torch.cat([y] * 2)), moved)
    torch.testing.assert_close(attacked, x + 0.1 * slope.sign())
    assert same is y or same.equal(y)
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_trying_a_transform_leaves_the_network_as_it_was(parts, compose_train):
    bare, tried = (build(compose_train(*TINY, "model.norm=batch", *more)) for more in ([], ATTACK))
    for name, tensor in bare.module.objective.state_dict().items():
        assert tensor.equal(tried.module.objective.state_dict()[name]), name


def test_trying_a_penalty_leaves_it_as_it_was(tmp_path, monkeypatch, compose_train):
    (tmp_path / "mynet_counting.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path)
    objective = build(compose_train(*TINY, "+regularizer.mine._target_=mynet_counting.Counting")).module.objective
    assert (objective.penalties["mine"].calls, objective.penalties["mine"].seen.item()) == (0, 0)
    assert objective.training


def test_what_counts_its_calls_in_an_attribute_is_trained_alone(tmp_path):
    (tmp_path / "mynet_annealed.py").write_text(ANNEALED)
    mine = ["+regularizer.mine._target_=mynet_annealed.Annealed"]
    done = train("-m", "study=s", *TINY, *mine, "seed=0,1", "hydra/launcher=packed", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: 2 runs are trained alone, as Annealed.calls changes when it is called, and is no buffer" in done.out


def test_in_a_pack_each_run_is_attacked_by_its_own_network(parts, tmp_path):
    command = ["-m", "study=s", "logger=none", *TINY, "regularizer=dropout", *ATTACK[:1], "trainer.precision=64-true"]
    command += ["+regularizer.mine.strength=0.05,0.2", "seed=0,1"]
    for name, launcher in (("alone", []), ("packed", ["hydra/launcher=packed"])):
        (tmp_path / name).mkdir()
        done = train(*command, *launcher, cwd=tmp_path / name)
        assert (done.code, done.err) == (0, "")
    assert "packed: 4 runs in 1 pack\n" in done.out
    left, right = (folders(tmp_path / name / "outputs" / "multirun" / "s") for name in ("alone", "packed"))
    for name, folder in left.items():
        compare(folder, right[name], 1e-9)


def test_a_perturbation_may_be_an_attack(parts, tmp_path):
    kept = train_into(tmp_path / "run", *TINY, "+regularizer.mine._target_=mynet_parts.Halved")
    attack = ["+perturbation._target_=mynet_parts.FastGradient", "+perturbation.strength=0.3"]
    done = evaluate("run=run", "allow=[mynet_parts]", *attack, "save=attacked.json", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    attacked = json.loads((tmp_path / "attacked.json").read_text())
    assert attacked["loss"] > 1.2 * kept["metrics"]["test"]["loss"]


WRONG = """
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from regnet.regularizers import BatchTransform, Constraint, Penalty, WeightPenalty
from regnet.training.callbacks import NetworkCallback


class Shaped(WeightPenalty):
    def __init__(self):
        super().__init__(1.0)

    def measure(self, found):
        return found[0].tensor.square()[0, :3]


class Unfinished(Shaped):
    measure = WeightPenalty.measure


class Failing(Penalty):
    def forward(self, network, logits, **_):
        return {}["missing"]


class Unborn(Penalty):
    def __init__(self):
        pass


class Cut(Constraint):
    def project(self, units):
        return units[:, :1]


class InPlace(Constraint):
    def project(self, units):
        units.clamp_(0, 1)


class Single(BatchTransform):
    def forward(self, x, y):
        return x


class Halved(BatchTransform):
    def forward(self, x, y):
        return x[::2], y


class Narrow(BatchTransform):
    def forward(self, x, y):
        return x[..., :3], y


class Lost(NetworkCallback):
    def wrap(self, network):
        pass


class Fine(NetworkCallback):
    def wrap(self, network):
        return network


class Remembers(Callback):
    def state_dict(self):
        return {"seen": [self]}


class Table(LRScheduler):
    def __init__(self, optimizer):
        self.table = np.linspace(1, 0, 3)
        super().__init__(optimizer)

    def get_lr(self):
        return self.base_lrs


class Unsteady(LRScheduler):
    pass


class Nothing:
    def __init__(self, of, lr=0.1):
        pass


class Net(nn.Module):
    def __init__(self, shape, num_outputs, dtype=None):
        super().__init__()
        self.inner = nn.Linear(64, 8, dtype=getattr(torch, dtype or "float32"))
        self.outer = nn.Linear(8, num_outputs)

    def forward(self, x):
        inner = self.inner(x.flatten(1).to(self.inner.weight.dtype))
        return self.outer((inner.abs() if inner.is_complex() else inner).float())


class Noted(Net):
    def get_extra_state(self):
        return {1, "two", self.__class__}

    def set_extra_state(self, state):
        pass
"""
WRONGS = [
    ("+regularizer.mine", "Shaped", r"regularizer.mine gives numbers of shape \(3,\), and must give a single one"),
    ("+regularizer.mine", "Unfinished", "regularizer.mine: NotImplementedError: measure is not defined"),
    ("+regularizer.mine", "Failing", r"regularizer.mine: KeyError: 'missing' \(mynet_wrong.py, line 26, in forward\)"),
    ("+regularizer.mine", "Unborn", r"regularizer.mine: Unborn.__init__ must begin with super\(\).__init__\(\)"),
    (
        "+regularizer.mine",
        "Cut",
        r"regularizer.mine makes of .*, \(1, 8, 64\), a \(1, 1, 64\); give .*",
    ),
    ("+regularizer.mine", "InPlace", "regularizer.mine makes of .* a NoneType; give weights of one shape"),
    ("+regularizer.mine", "Single", r"regularizer.mine gives a Tensor, and must give a pair of tensors \(x, y\)"),
    ("+regularizer.mine", "Halved", r"regularizer.mine, which gives .*: Expected input batch_size \(1\) to match .*"),
    ("+regularizer.mine", "Narrow", "regularizer.mine, which gives inputs .*: RuntimeError: mat1 and mat2 shapes .*"),
    ("+regularizer.mine", "Lost", "regularizer.mine wraps the network in a NoneType; give a Sequential"),
    ("+callbacks.mine", "Fine", r"callbacks.mine comes too late to change the network: .* \+regularizer.mine"),
    ("+callbacks.mine", "Remembers", r"callbacks.mine keeps a Remembers in its state_dict\(\)\['seen'\]\[0\], .*"),
    ("+scheduler", "Table", r"scheduler keeps a ndarray in its state_dict\(\)\['table'\], which no checkpoint .*"),
    ("+scheduler", "Unsteady", ".*mynet_wrong.Unsteady .*: NotImplementedError: get_lr is not defined"),
    ("+scheduler", "Nothing", "scheduler._target_=mynet_wrong.Nothing makes a Nothing, and must make a .*LRScheduler"),
    ("optimizer", "Nothing", "optimizer._target_=mynet_wrong.Nothing makes a Nothing, and must make a .*Optimizer"),
    ("model", "Noted", r"model keeps a set in its state_dict\(\)\['model._extra_state'\], which no checkpoint .*"),
    ("model float16", "Net", "model=mynet_wrong.Net has weights in torch.float16, torch.float32; make all .*"),
    ("model float64", "Net", "model=mynet_wrong.Net has weights in torch.float32, torch.float64; make all .*"),
    ("model complex64", "Net", "optimizer.fused=true takes no complex weights, .*; optimizer.fused=false"),
]


@pytest.mark.parametrize(("part", "target", "sentence"), WRONGS)
def test_what_is_wrong_with_a_part_of_ones_own_is_told_before_training(part, target, sentence, tmp_path, monkeypatch):
    (tmp_path / "mynet_wrong.py").write_text(WRONG)
    monkeypatch.syspath_prepend(tmp_path)
    group, *dtype = part.split()
    typed = [f"{group}._target_=mynet_wrong.{target}", *(f"+model.dtype={name}" for name in dtype)]
    typed += ["+scheduler._partial_=true"] if group == "+scheduler" else []
    typed += ["~optimizer.betas", "~optimizer.fused"] if group == "optimizer" else []
    typed += [one for one in TINY if group != "model" or "model." not in one]
    with pytest.raises(regnet.UserError, match=f"^{sentence}$"):
        regnet.train(*typed, folder=tmp_path / "run")
    assert not list((tmp_path / "run").glob("metrics.csv"))


def test_a_learning_rate_of_numpy_is_kept_as_a_number(tmp_path, monkeypatch):
    (tmp_path / "mynet_cosine.py").write_text(COSINE)
    monkeypatch.syspath_prepend(tmp_path)
    mine = ["+scheduler._target_=mynet_cosine.Cosine", "+scheduler._partial_=true"]
    run = regnet.train(*TINY, *mine, "callbacks.last.every_seconds=0", folder=tmp_path / "run")
    assert run.status == "completed"
    last = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert type(last["lr_schedulers"][0]["_last_lr"][0]) is float


COSINE = """
import numpy as np
from torch.optim.lr_scheduler import LRScheduler


class Cosine(LRScheduler):
    def get_lr(self):
        return [np.cos(self.last_epoch) ** 2 * rate for rate in self.base_lrs]
"""
