"""A data set of a person's own whose inputs are whole numbers, or go through a module of its own first."""

import pytest
import torch
from omegaconf import open_dict

from regnet.compose.build import build
from regnet.compose.network import Ends
from regnet.core.errors import UserError
from regnet.data import DataModule, Dataset, Samples
from tests.helpers.commands import evaluate, inspect, report, train, train_into
from tests.helpers.equality import compare, folders

SOURCE = """
import torch
from torch import nn
from regnet.data import Dataset, Samples
from regnet.regularizers import BatchTransform


class Sentences:
    \"\"\"Six words each, of which the seventh of the vocabulary makes the class.\"\"\"

    def __init__(self, long: bool = True):
        self.long = long

    def load(self):
        words = torch.randint(10, (400, 6), generator=torch.Generator().manual_seed(0))
        words = words if self.long else words.int()
        return Dataset(Samples(words, (words == 7).any(1).long()), classes=["without", "with"])


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("by", torch.tensor(5.0))

    def forward(self, x):
        return x - self.by


class Shifted:
    def load(self):
        x = 5 + torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
        return Dataset(Samples(x, (x[:, 0] > 5).long()), classes="ab", input_module=Shift(), example=x[:2])


class Half(BatchTransform):
    stage = BatchTransform.INPUTS

    def forward(self, x, y):
        return x / 2, y


class Bag(nn.Module):
    def __init__(self, num_outputs, dropout=nn.Identity):
        super().__init__()
        self.embedding, self.dropout, self.head = nn.Embedding(10, 8), dropout(), nn.Linear(8, num_outputs)

    def forward(self, x):
        assert not x.is_floating_point()
        return self.head(self.dropout(self.embedding(x).mean(1)))
"""
YAML = """
defaults: [/base/data@_here_, _self_]
source:
  _target_: mynet_words.{source}
"""
SMALL = ["--config-dir=conf", "data=words", "logger=none", "trainer.max_epochs=12", "optimizer.lr=0.05"]
BAG = [*SMALL, "model._target_=mynet_words.Bag"]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    (tmp_path / "mynet_words.py").write_text(SOURCE)
    for name, source in {"words": "Sentences", "shifted": "Shifted"}.items():
        (tmp_path / "conf" / "data").mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / "data" / f"{name}.yaml").write_text(YAML.format(source=source))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def words(cfg):
    with open_dict(cfg):
        cfg.data.source = {"_target_": "mynet_words.Sentences"}
    return cfg


def test_tokens_are_learned_evaluated_and_inspected(desk):
    kept = train_into(desk / "run", *BAG, "regularizer=[dropout,l2]", "regularizer.l2.strength=1e-4")
    assert kept["metrics"]["test"]["accuracy"] > 0.9
    assert (kept["config"]["data"]["inputs"], kept["config"]["data"]["shape"]) == ("none", [6])
    done = evaluate("run=run", "allow=[mynet_words]", cwd=desk)
    assert (done.code, done.err) == (0, "")
    assert "\nequal to the record\n" in done.out
    assert evaluate("run=run", "allow=[mynet_words]", "passes=5", cwd=desk).code == 0
    shown = inspect(*BAG, "regularizer=[dropout,l2]", cwd=desk)
    assert (shown.code, shown.err) == (0, "")
    assert "model.embedding.weight" in shown.out
    assert "standardize" not in shown.out


def test_tokens_train_packed_as_alone(desk):
    own = ["regularizer=[dropout,l2]", "regularizer.l2.strength=1e-4,1e-2", "seed=0,1", "trainer.precision=64-true"]
    command = ["-m", "study=s", *BAG, "trainer.max_epochs=3", *own]
    for name, launcher in {"alone": [], "packed": ["hydra/launcher=packed"]}.items():
        place = f"hydra.sweep.dir={desk / name}"
        done = train(*command, place, *launcher, cwd=desk)
        assert (done.code, done.err) == (0, "")
    assert "packed: 4 runs in 1 pack\n" in done.out
    left, right = (folders(desk / name) for name in ("alone", "packed"))
    for name, folder in left.items():
        compare(folder, right[name], 1e-9)
    assert report(str(desk / "packed"), "--no-page", cwd=desk).code == 0


@pytest.mark.parametrize("more", [["data.source.long=false"], ["regularizer=swa"], ["trainer.precision=bf16-mixed"]])
def test_tokens_stay_whole_numbers(desk, more):
    more = ["+" + word if word.startswith("data.source.") else word for word in more]
    assert train_into(desk / "run", *BAG, *more)["metrics"]["test"]["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("model=mlp", r"^model=regnet\.models\.MLP fails .*; they are whole numbers \(torch\.int64\), .* as float32$"),
        (
            "regularizer=jacobian",
            r"^regularizer\.jacobian differentiates by the inputs, .* whole numbers \(torch\.int64",
        ),
        ("regularizer=input_noise", r"^regularizer\.input_noise on whole numbers \(torch\.int64\)"),
        ("regularizer=mixup", r"^regularizer\.mixup on whole numbers \(torch\.int64\)"),
        (
            "+regularizer.mine._target_=mynet_words.Half",
            r"^regularizer\.mine on whole .* makes inputs of torch\.float32",
        ),
    ],
)
def test_what_tokens_cannot_take_is_told_before_training(desk, setting, sentence, compose_train):
    model = [] if setting == "model=mlp" else ["model._target_=mynet_words.Bag"]
    overrides = [*model, setting]
    with pytest.raises(UserError, match=sentence):
        build(words(compose_train(*overrides)), overrides)


def test_an_input_module_of_one_s_own_takes_the_place_of_standardization(desk):
    own = ["--config-dir=conf", "data=shifted", "logger=none", "model.widths=[8]", "trainer.max_epochs=10"]
    kept = train_into(desk / "run", *own)
    assert kept["config"]["data"]["inputs"] == "mynet_words.Shift"
    state = torch.load(desk / "run" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert state["objective.network.input.by"] == 5
    for more in ([], ["part=all"]):
        done = evaluate("run=run", "allow=[mynet_words]", *more, cwd=desk)
        assert (done.code, done.err) == (0, "")
    refused = evaluate("run=run", cwd=desk)
    assert "mynet_words.Shifted is not in the list" in refused.err
    done = train("-m", "study=s", *own, "seed=0,1", "hydra/launcher=packed", cwd=desk)
    assert (done.code, done.err) == (0, "")
    assert "packed: 2 runs in 1 pack\n" in done.out


def test_a_network_that_begins_with_an_input_module_needs_one():
    loaded = Dataset(Samples(torch.rand(40, 3), torch.arange(40) % 2), classes="ab")
    with pytest.raises(ValueError, match=r"^the data have no input module, and the network begins with a my\.Shift$"):
        Ends.unfilled((3,), "my.Shift", lambda: loaded)


def test_the_example_is_what_a_network_is_tried_on():
    class Given:
        def load(self):
            return Dataset(Samples(torch.rand(40, 3), torch.arange(40) % 2), classes="ab", example=torch.ones(2, 3))

    data = DataModule(Given())
    data.setup()
    assert data.example.equal(torch.ones(2, 3))
    assert data.inputs == "standardize"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"example": torch.ones(2, 4)}, r"^Given gives an example of shape \(2, 4\); give two inputs, \(2, 3\)$"),
        ({"input_module": abs}, r"^Given gives an input_module of .*; give a torch\.nn\.Module$"),
    ],
)
def test_what_is_no_example_or_module_is_refused(given, sentence):
    class Given:
        def load(self):
            return Dataset(Samples(torch.rand(40, 3), torch.arange(40) % 2), classes="ab", **given)

    with pytest.raises(UserError, match=sentence):
        DataModule(Given()).setup()
