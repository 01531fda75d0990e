"""Parts of a person's own: what a base class asks of them by methods and attributes with defaults."""

import pytest
import torch
from torch import nn

from regnet.compose.build import build
from regnet.regularizers import DropConnect, WeightLayerPenalty
from tests.commands import TINY, train

PARTS = """
from lightning.pytorch.callbacks import Callback
from torch import nn
from regnet.regularizers import L2, PenalizedLayer, WeightLayer
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
"""


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
