"""Every file in conf/measure has its row in `TABLE`, and keeps what a measure promises."""

import copy
import math

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from regnet.core.tasks import Classification, Regression
from regnet.measures import Part
from regnet.models import MLP
from regnet.regularizers import Dropout
from regnet.training.objective import Objective
from tests.helpers.commands import record, train
from tests.helpers.measure_table import CONF, FILES, TABLE

CLASSES, FEATURES, SAMPLES = 4, 6, 230


def test_one_row_for_each_file():
    assert set(TABLE) == set(FILES), "each conf/measure/*.yaml needs its row in TABLE, and each row its file"


@pytest.fixture
def objective():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), Dropout(0.5), nn.Linear(16, CLASSES)
    )
    objective = Objective(network, Classification())
    for _ in range(20):  # statistics of their own
        network(torch.randn(32, FEATURES))
    return objective


@pytest.fixture(scope="module")
def samples():
    torch.manual_seed(1)
    return torch.rand(SAMPLES, FEATURES), torch.randint(CLASSES, (SAMPLES,))


def part(objective, samples, size=50, name="test"):
    x, y = samples
    return Part(objective, list(zip(x.split(size), y.split(size), strict=True)), name=name)


def measured(name, objective, samples, size=50):
    one = part(objective, samples, size)
    return TABLE[name].make()(one, one)


@pytest.mark.parametrize("name", FILES)
def test_file_has_the_settings_of_the_class(name):
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# "), "the first line says what it is"
    entries = OmegaConf.create(text)
    (node,) = [node for key, node in entries.items() if key != "defaults"]
    made = TABLE[name].make()
    assert node._target_ == f"regnet.measures.{type(made).__name__}"
    assert node.at == made.at == "end"


@pytest.mark.parametrize("name", FILES)
def test_numbers_are_declared_and_within_their_scale(name, objective, samples):
    found, scales = measured(name, objective, samples), TABLE[name].make().scales
    assert found.numbers.keys() == scales.keys()
    for number, value in found.numbers.items():
        assert scales[number].low <= value <= scales[number].high, number
        assert math.isfinite(value), number
    for series in found.series.values():
        assert len(series) in (2, 3)
        assert len({len(column) for column in series.values()}) == 1


@pytest.mark.parametrize("name", FILES)
def test_same_numbers_again_and_for_any_size_of_batches(name, objective, samples):
    first = measured(name, objective, samples)
    torch.manual_seed(99)
    assert measured(name, objective, samples) == first
    objective.double()  # in which rounding, which is another for other batches, turns no answer over
    first = measured(name, objective, samples)
    for size in (7, SAMPLES):
        other = measured(name, objective, samples, size)
        assert other.numbers == pytest.approx(first.numbers, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", FILES)
def test_leaves_network_and_random_numbers_as_they_were(name, objective, samples):
    before = copy.deepcopy(objective.state_dict())
    required = {key: parameter.requires_grad for key, parameter in objective.named_parameters()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    measured(name, objective, samples)
    assert torch.equal(torch.get_rng_state(), state)
    for key, tensor in objective.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    assert not objective.network.training
    for key, parameter in objective.named_parameters():
        assert parameter.grad is None
        assert parameter.requires_grad == required[key]


@pytest.mark.parametrize("name", FILES)
def test_can_be_taken_in_a_validation_of_lightning(name, objective, samples):
    first = measured(name, objective, samples)
    with torch.inference_mode():
        assert measured(name, objective, samples) == first
    with torch.no_grad():
        assert measured(name, objective, samples) == first


@pytest.mark.parametrize("name", FILES)
def test_an_empty_part_is_told(name, objective, samples):
    x, y = samples
    with pytest.raises(ValueError, match=r"^the val part has no samples to measure$"):
        TABLE[name].make()(Part(objective, [], name="val"), part(objective, samples))
    with pytest.raises(ValueError, match=r"^the test part has no samples to measure$"):
        TABLE[name].make()(part(objective, (x[:0], y[:0])), part(objective, samples))


@pytest.mark.parametrize("name", FILES)
def test_one_class_alone(name, objective, samples):
    x, y = samples
    one = x, torch.full_like(y, 2)
    if (sentence := TABLE[name].one_class) is not None:
        with pytest.raises(ValueError, match=sentence):
            measured(name, objective, one)
        return
    assert all(map(math.isfinite, measured(name, objective, one).numbers.values()))


@pytest.mark.parametrize("name", FILES)
def test_a_regression_is_told(name, samples):
    objective = Objective(MLP((FEATURES,), 1, [4]), Regression())
    with pytest.raises(ValueError, match=r"measures classifications, and this is a regression$"):
        measured(name, objective, (samples[0], samples[0][:, 0]))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("at", ["start", None, 1])
def test_when_it_measures_is_checked(name, at):
    with pytest.raises(ValueError, match=r"^at=.* must be one of end, epoch$"):
        TABLE[name].make(at=at)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The same two runs with every measure, alone and packed."""
    folder = tmp_path_factory.mktemp("measured")
    every = f"measure=[{','.join(FILES)}]"
    common = ["model.widths=[16]", "trainer.max_epochs=3", "data.train_size=200", every, "logger=none"]
    for launcher in ("basic", "packed"):
        place = [f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder / launcher}"]
        done = train("-m", "regularizer=dropout", "seed=0,1", *place, *common, cwd=folder)
        assert done.code == 0, done.out + done.err
    return folder


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", [0, 1])
def test_packed_and_alone_are_the_same(name, seed, studies):
    one, other = (record(next((studies / how).glob(f"*seed={seed}*"))) for how in ("basic", "packed"))
    assert (one["launcher"], other["launcher"]) == ("basic", "packed")
    assert one["measures"][name]["reason"] is None
    for split in ("val", "test"):
        numbers = {key: one["metrics"][split][key] for key in one["measures"][name]["scales"]}
        theirs = {key: other["metrics"][split][key] for key in other["measures"][name]["scales"]}
        assert theirs == pytest.approx(numbers, rel=1e-3, abs=2e-3)
