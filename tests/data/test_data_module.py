from dataclasses import dataclass
from itertools import chain

import lightning
import pytest
import torch

from regnet.core.errors import UserError
from regnet.data import DataModule, Dataset, Samples, data_module


@dataclass(frozen=True)
class Numbered:
    """Samples whose input is their own number, so that they can be told apart."""

    n: int = 200
    n_test: int = 0
    classes: int | None = 4

    def samples(self, start: int, n: int) -> Samples:
        index = torch.arange(start, start + n)
        y = index % self.classes if self.classes else index.float()
        return Samples(index.float()[:, None], y)

    def load(self) -> Dataset:
        classes = tuple("abcdefgh"[: self.classes]) if self.classes else None
        test = self.samples(self.n, self.n_test) if self.n_test else None
        return Dataset(self.samples(0, self.n), test, classes)


def ready(source=None, **settings):
    module = DataModule(source or Numbered(), **settings)
    module.setup()
    return module


def numbers(samples):
    return samples.x.flatten().int().tolist()


@pytest.mark.parametrize("split_seed", range(3))
@pytest.mark.parametrize("n_test", [0, 50])
def test_no_sample_is_in_two_parts(split_seed, n_test):
    data = ready(Numbered(n_test=n_test), split_seed=split_seed, label_noise=0.2)
    parts = [set(numbers(part)) for part in (data.train, data.val, data.test)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 200 + n_test
    assert set(numbers(data.probe)) <= parts[0]
    assert len(data.probe) == len(data.val)
    if n_test:
        assert parts[2] == set(range(200, 250))


def test_the_split_depends_on_its_own_seed_alone():
    one, other, third = ready(seed=0), ready(seed=1), ready(split_seed=1)
    assert numbers(one.train) == numbers(other.train)
    assert numbers(one.train) != numbers(third.train)
    orders = [torch.cat([y for _, y in data.train_dataloader()]) for data in (one, other)]
    assert not orders[0].equal(orders[1])


def test_only_training_labels_are_noisy():
    clean, noisy = ready(), ready(label_noise=0.25)
    assert numbers(clean.train) == numbers(noisy.train)
    assert (clean.train.y != noisy.train.y).sum() == round(0.25 * len(noisy.train))
    assert noisy.probe.y.equal(noisy.train.y[: len(noisy.probe)])
    assert clean.val.y.equal(noisy.val.y)
    assert clean.test.y.equal(noisy.test.y)


def test_what_a_network_needs_to_know():
    data = ready(Numbered(classes=4))
    assert (data.task, data.num_classes, data.num_outputs, data.shape) == ("classification", 4, 4, (1,))
    assert data.classes == ("a", "b", "c", "d")
    data = ready(Numbered(classes=None))
    assert (data.task, data.num_classes, data.num_outputs) == ("regression", None, 1)
    mean, std = data.target_statistics()
    assert mean == pytest.approx(data.train.y.numpy().mean())
    assert std == pytest.approx(data.train.y.numpy().std())
    assert data.statistics()[0].item() == pytest.approx(mean)


def test_setup_splits_once():
    data = ready()
    train = data.train
    data.setup("fit")
    assert data.train is train


def test_a_small_training_set_is_its_own_probe():
    data = ready(train_size=8)
    assert len(data.train) == len(data.probe) == 8
    assert sorted(data.train.y.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"batch_size": 0}, "^data.batch_size=0 must be a whole number, at least 1"),
        ({"batch_size": 12.5}, "^data.batch_size=12.5 must be a whole number"),
        ({"eval_batch_size": None}, "^data.eval_batch_size=null"),
        ({"num_workers": -1}, "^data.num_workers=-1 .* at least 0"),
        ({"val_fraction": 0.0}, "^data.val_fraction=0.0 must be a fraction"),
        ({"val_fraction": "a"}, "^data.val_fraction=a must be a fraction"),
        ({"test_fraction": 1.5}, "^data.test_fraction=1.5 must be a fraction"),
        ({"train_size": 0}, "^data.train_size=0 must be a whole number, at least 1"),
        ({"train_size": 3}, "^data.train_size=3 is too small; training needs at least 4"),
        ({"train_size": 999}, "^data.train_size=999 is more than the 144"),
        ({"label_noise": 2.0}, "^data.label_noise=2.0 must be a number from 0 to 1"),
        ({"label_noise": 0.1, "source": Numbered(classes=None)}, "^data.label_noise=0.1 needs classes"),
        (
            {"source": Numbered(n=2, classes=2)},
            "^data.test_fraction=0.2 of 2 samples is no sample; choose at least 0.5",
        ),
        ({"source": Numbered(n=6, classes=None), "val_fraction": 1e-9}, "^data.val_fraction=1e-09 of 5 samples is no"),
        ({"source": Numbered(n=6, classes=None), "train_size": 1}, "^data.train_size=1 is too small"),
    ],
)
def test_settings_that_cannot_be(settings, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        ready(**settings)
    assert "\n" not in str(caught.value)


def test_a_class_that_training_misses():
    @dataclass(frozen=True)
    class Rare:
        def load(self) -> Dataset:
            y = torch.zeros(100, dtype=torch.int64)
            y[0] = 1
            return Dataset(Samples(torch.zeros(100, 1), y), classes=("usual", "rare"))

    assert ready(Rare()).train.y.sum() == 1
    with pytest.raises(UserError, match=r"^data\.train_size=5 holds no sample of class 'rare'"):
        ready(Rare(), train_size=5)


def test_a_setting_belongs_to_the_module_its_source_or_others():
    class Private:
        __slots__ = ("_path",)

        def __init__(self, path):
            self._path = path

    module = data_module(Private("here"), path="here", batch_size=3, augment=None, classes=None)
    assert (module.source._path, module.batch_size) == ("here", 3)
    with pytest.raises(UserError, match=r"^data\._path is a setting of neither the data module nor its source$"):
        data_module(Private("here"), _path="here")


class Network(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 4)
        self.seen = []

    def training_step(self, batch):
        self.seen.append(batch[0].flatten().int().tolist())
        return torch.nn.functional.cross_entropy(self.linear(batch[0] / 100), batch[1])

    def validation_step(self, batch, _, dataloader_idx):
        assert dataloader_idx in (0, 1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_the_trainer_takes_each_epoch_in_a_new_order(tmp_path):
    data, network = DataModule(Numbered(), batch_size=36), Network()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(network, datamodule=data)
    first, second = list(chain(*network.seen[:4])), list(chain(*network.seen[4:]))
    assert sorted(first) == sorted(second) == sorted(numbers(data.train))
    assert first != second


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (
            torch.arange(40)[:, None].short(),
            torch.arange(40) % 2,
            "^Given gives inputs of torch.int16; .* int64",
        ),
        (torch.zeros(40, 1).double(), torch.arange(40) % 2, "^Given gives inputs of torch.float64; give float32"),
        (torch.zeros(40, 1), torch.arange(40).int() % 2, "^Given gives targets of torch.int32; give int64 for classes"),
        (
            torch.zeros(40, 1),
            torch.arange(40)[:, None] % 2,
            r"^Given gives targets of shape \(40, 1\) for 40 inputs; give one for each, \(40,\)$",
        ),
        (torch.zeros(40, 1), torch.arange(39) % 2, r"^Given gives targets of shape \(39,\) for 40 inputs"),
        (torch.zeros(40, 1), torch.arange(40) % 2 + 1, "^Given gives targets from 1 to 2; its 2 classes are 0 to 1$"),
        (torch.zeros(40, 1), torch.arange(40) % 3 - 1, "^Given gives targets from -1 to 1; its 2 classes"),
        (torch.zeros(40), torch.arange(40) % 2, r"^Given gives inputs of shape \(40,\); give \(N, F\) or"),
        (torch.zeros(40, 0), torch.arange(40) % 2, r"^Given gives inputs of shape \(40, 0\); give"),
        (torch.zeros(40, 1), torch.full((40,), torch.nan), "^Given gives training targets that are not finite"),
    ],
)
def test_inputs_and_targets_that_cannot_be(x, y, sentence):
    class Given:
        def load(self):
            return Dataset(Samples(x, y), classes="ab")

    with pytest.raises(UserError, match=sentence):
        ready(Given())


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.zeros(0, 2), "^Given gives a {} part without samples; leave it out"),
        (torch.zeros(4, 3), r"^Given gives {} inputs of shape \(3,\) each, and those for training have \(2,\)$"),
    ],
)
def test_parts_that_are_not_like_the_training_samples(part, x, sentence):
    class Given:
        def load(self):
            own = Samples(x, torch.zeros(len(x), dtype=torch.int64))
            return Dataset(Samples(torch.zeros(40, 2), torch.arange(40) % 2), classes="ab", **{part: own})

    with pytest.raises(UserError, match=sentence.format(part)):
        ready(Given())


@pytest.mark.parametrize(
    ("loaded", "sentence"),
    [
        ({}, "^data.source=Given has no load()"),
        ({"load": lambda self: None}, r"^Given.load\(\) gives a NoneType, and must give a regnet.data.Dataset$"),
    ],
)
def test_a_source_gives_a_dataset(loaded, sentence):
    with pytest.raises(UserError, match=sentence):
        ready(type("Given", (), loaded)())
