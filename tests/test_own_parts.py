"""Parts of a person's own: what a base class asks of them by methods and attributes with defaults."""

import json

import pytest
import torch
from torch import nn

from regnet.compose.build import build
from regnet.regularizers import DropConnect, WeightLayerPenalty
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
