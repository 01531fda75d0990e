"""Monte-Carlo dropout against enumeration, closed forms and the deterministic evaluation."""

import json
import math
from itertools import product

import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from regnet.core.tasks import Classification, Regression
from regnet.measures.monte_carlo import measure_passes, of_classes, of_numbers, predict, stochastic
from regnet.measures.task_metrics import task_metrics
from regnet.regularizers import ConcreteDropout, Dropout, RandomLayer
from regnet.training.objective import Objective
from tests.helpers.commands import TINY, evaluate, train_into


class Turns(RandomLayer):
    """Adds one of `offsets` after the other, in place of noise."""

    def __init__(self, *offsets):
        super().__init__()
        self.offsets, self.calls = torch.tensor(offsets), 0

    def forward(self, x):
        if not self.training:
            return x
        self.calls += 1
        return x + self.offsets[(self.calls - 1) % len(self.offsets)]


def test_passes_that_agree_have_entropy_and_no_mutual_information():
    mean, spread = of_classes(torch.tensor([0.5, 0.25, 0.25]).log().expand(2, 1, 3))
    torch.testing.assert_close(mean.exp(), torch.tensor([[0.5, 0.25, 0.25]]))
    assert spread["entropy"].item() == pytest.approx(1.5 * math.log(2), rel=1e-6)
    assert spread["mutual_information"].item() == pytest.approx(0, abs=1e-6)


def test_sure_passes_that_disagree_have_nothing_but_mutual_information():
    mean, spread = of_classes(torch.tensor([[[1000.0, 0.0]], [[0.0, 1000.0]]]))
    assert mean.exp().tolist() == [[0.5, 0.5]]
    assert spread["entropy"].item() == pytest.approx(math.log(2), rel=1e-6)
    assert spread["mutual_information"].item() == pytest.approx(math.log(2), rel=1e-6)


def test_uncertainty_of_classes_in_general():
    logits = 3 * torch.randn(7, 50, 4, dtype=torch.double)
    mean, spread = of_classes(logits)
    p = logits.softmax(2)
    torch.testing.assert_close(mean.exp(), p.mean(0))
    total, within = Categorical(p.mean(0)).entropy(), Categorical(p).entropy().mean(0)
    torch.testing.assert_close(spread["entropy"], total)
    torch.testing.assert_close(spread["mutual_information"], total - within)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-3, 1.0, 1e4])
def test_mutual_information_is_never_negative(scale):
    for passes in (1, 2, 30):
        _, spread = of_classes(torch.randn(500, 10) + scale * torch.randn(passes, 500, 10))
        information = spread["mutual_information"]
        assert (information >= 0).all()
        assert (information <= spread["entropy"] + 1e-6).all()
        assert passes > 1 or information.max() < 1e-6


def test_spread_of_numbers():
    mean, spread = of_numbers(torch.tensor([1.0, 2.0, 6.0]).view(3, 1, 1))
    assert mean.tolist() == [[3.0]]
    assert spread["std"].item() == pytest.approx((14 / 3) ** 0.5, rel=1e-6)


def test_metrics_of_a_made_up_network():
    """Two passes, p = (0.9, 0.1) and (0.5, 0.5) for each sample: all in closed form."""
    offset = math.log(9.0)
    network = Turns([offset, 0.0], [0.0, 0.0])
    x, y = torch.zeros(10, 2), torch.tensor([0] * 7 + [1] * 3)
    batches = [(x[:5], y[:5]), (x[5:], y[5:])]
    metrics = measure_passes(Objective(network, Classification()), batches, 2)
    assert network.calls == 4
    entropies = [-sum(p * math.log(p) for p in distribution) for distribution in ((0.7, 0.3), (0.9, 0.1), (0.5, 0.5))]
    assert metrics == pytest.approx(
        {
            "loss": entropies[0],  # as the mean is right about the shares
            "nll": entropies[0],
            "accuracy": 0.7,
            "ece": 0.0,
            "entropy": entropies[0],
            "mutual_information": entropies[0] - (entropies[1] + entropies[2]) / 2,
        },
        rel=1e-5,
        abs=1e-6,
    )


@pytest.mark.parametrize("task", [Classification(), Regression(2.0)], ids=["classes", "numbers"])
def test_without_noise_it_is_the_deterministic_evaluation(task):
    outputs = 3 if isinstance(task, Classification) else 1
    network = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Tanh(), Dropout(0.0), nn.Linear(16, outputs))
    network(torch.randn(64, 4) + 1)  # running statistics unlike those of the batches
    y = torch.randint(3, (40,)) if outputs == 3 else torch.randn(40)
    batches = list(zip(torch.randn(4, 10, 4), y.view(4, 10), strict=True))
    objective = Objective(network, task)
    expected, metrics = task_metrics(objective, batches), measure_passes(objective, batches, 3)
    assert {name: metrics.pop(name) for name in expected} == pytest.approx(expected, rel=1e-5)
    assert metrics.get("std", 0) == pytest.approx(0, abs=1e-6)
    assert metrics.get("mutual_information", 0) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("layer", [Dropout(0.3), nn.Dropout(0.3)], ids=["regnet", "torch"])
def test_the_mean_of_many_passes_is_the_enumerated_mean(layer):
    """16 masks of 4 hidden units; the error falls as 1 / sqrt(passes)."""
    first, last = nn.Linear(3, 4), nn.Linear(4, 2)
    network, x = nn.Sequential(first, nn.ReLU(), layer, last).double(), 2 * torch.randn(5, 3, dtype=torch.double)
    with torch.no_grad():
        hidden, exact = first(x).relu(), torch.zeros(5, 2, dtype=torch.double)
        for mask in product((0.0, 1.0), repeat=4):
            chance = math.prod(0.7 if kept else 0.3 for kept in mask)
            exact += chance * last(hidden * torch.tensor(mask).double() / 0.7).softmax(1)
    for passes in (100, 10_000):
        outputs = predict(network, x, passes).softmax(2)
        assert outputs.shape == (passes, 5, 2)
        error = (outputs.mean(0) - exact).abs()
        assert (error < 5 * outputs.std(0) / passes**0.5 + 1e-4).all()
        torch.testing.assert_close(of_classes(outputs.log())[0].exp(), outputs.mean(0))
    assert error.max() > 0


def test_only_random_layers_are_in_training():
    kinds = [Dropout(), nn.Dropout1d(), nn.Dropout2d(), nn.Dropout3d(), nn.AlphaDropout(), nn.FeatureAlphaDropout()]
    others = [nn.BatchNorm1d(3), nn.Linear(3, 3), nn.Sequential(nn.BatchNorm1d(3))]
    within = ConcreteDropout()
    within.norm = nn.BatchNorm1d(3)  # of a random layer that has parts, only itself
    network = nn.Sequential(*kinds, *others, within)
    others[0].eval()
    before = [module.training for module in network.modules()]

    def fail():
        with stochastic(network):
            assert [module for module in network.modules() if module.training] == [*kinds, within]
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [module.training for module in network.modules()] == before


def test_passes_leave_the_statistics_of_batch_norm():
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    predict(network, torch.randn(8, 3) + 5, 4)
    assert network[0].num_batches_tracked == 0


@pytest.mark.parametrize("passes", [0, -1, 1.5, None, "3"])
def test_no_passes(passes):
    with pytest.raises(ValueError, match=r"passes must be a whole number >= 1, got"):
        predict(nn.Dropout(), torch.ones(1), passes)


def test_a_network_without_random_layers():
    with pytest.raises(ValueError, match="the network has no random layer"):
        predict(nn.Linear(2, 2), torch.ones(1, 2), 2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["regularizer=dropout"], {"loss", "accuracy", "nll", "ece", "entropy", "mutual_information"}),
        (["data=diabetes", "regularizer=[concrete_dropout,ema]"], {"loss", "rmse", "r2", "std"}),
    ],
    ids=["classes", "numbers"],
)
def test_the_command(tmp_path, arguments, expected):
    train_into(tmp_path / "run", *TINY, *arguments)

    def measured(*more):
        done = evaluate("run=run", "save=metrics.json", *more, cwd=tmp_path)
        assert done.code == 0, done.err
        return done.out, json.loads((tmp_path / "metrics.json").read_text())

    out, metrics = measured("passes=20")
    assert "mean of 20 stochastic passes" in out
    assert "equal to the record" not in out
    assert metrics.keys() == expected
    assert all(f"  {name} " in out for name in expected)
    assert metrics.get("std", metrics.get("mutual_information")) > 0
    assert measured("passes=20")[1] == metrics != measured("passes=20", "seed=1")[1]
    out, plain = measured()
    assert "\nequal to the record\n" in out
    assert plain["loss"] != metrics["loss"]
    for passes in (0, "many", 1.5):
        done = evaluate("run=run", f"passes={passes}", cwd=tmp_path)
        assert done.code == 1
        assert f"passes={passes}" in done.err
        assert "must be a whole number" in done.err


def test_the_command_without_a_random_layer(tmp_path):
    train_into(tmp_path / "run", *TINY)
    done = evaluate("run=run", "passes=5", cwd=tmp_path)
    assert done.code == 1
    assert "passes=5: the network has no random layer" in done.err
    assert "Traceback" not in done.err
