"""Robust accuracy where it is known exactly, and what it promises everywhere."""

from functools import partial

import pytest
import torch
from torch import nn

from regnet.attacks import FGSM, PGD
from regnet.core.tasks import Classification
from regnet.measures import Part, Robustness
from regnet.training.objective import Objective
from tests.helpers.commands import TINY, evaluate, record, train, train_into
from tests.test_errors import assert_one_sentence

RADII = [0.02, 0.05, 0.1, 0.2, 0.4]


@pytest.fixture
def linear():
    torch.manual_seed(0)
    network = nn.Linear(8, 2).double()
    return Objective(network, Classification())


@pytest.fixture
def samples(linear):
    x = torch.randn(400, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noise = 0.4 * torch.randn(400, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return x, (linear.network(x) + noise).argmax(1)


def part(objective, samples, unit):
    x, y = samples
    return Part(objective, list(zip(x.split(64), y.split(64), strict=True)), unit=unit)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [FGSM, PGD])
def test_of_a_linear_network_of_two_classes_it_is_the_share_whose_margin_is_wide_enough(linear, samples, norm, attack):
    """f is right within ε exactly where its margin exceeds ε ||u ⊙ (w_0 - w_1)||, of the dual norm."""
    unit = torch.linspace(0.5, 2, 8, dtype=torch.float64)
    one = part(linear, samples, unit)
    found = Robustness(0.1, partial(attack, norm=norm), curve=RADII, samples=None)(one, one)
    x, y = samples
    logits = linear.network(x)
    margin = (logits.gather(1, y[:, None]) - logits.gather(1, 1 - y[:, None]))[:, 0]
    w = (linear.network.weight[0] - linear.network.weight[1]) * unit
    slope = w.abs().sum() if norm == "linf" else w.norm()
    expected = [(margin > radius * slope).double().mean().item() for radius in RADII]
    assert 0.1 < expected[-1] < expected[0] < 0.98
    assert found.series["robustness"]["epsilon"] == [0.0, *RADII]
    curve = found.series["robustness"]["robust_accuracy"][1:]
    slack = 1 / 400 if (attack, norm) == (PGD, "l2") else 0  # its last point may miss the ball's end by a little
    assert all(exact <= share <= exact + slack for share, exact in zip(curve, expected, strict=True))
    assert found.numbers["robust_accuracy"] == curve[2]
    assert found.numbers["robust_accuracy_0.4"] == curve[4]
    assert found.numbers["clean_accuracy"] == (margin > 0).double().mean().item()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_least_radius_of_a_linear_network_is_its_margin_over_its_slope(linear, samples, norm):
    one = part(linear, samples, torch.ones(8, dtype=torch.float64))
    found = Robustness(0.4, partial(FGSM, norm=norm), samples=None, halvings=12)(one, one)
    x, y = samples
    logits = linear.network(x)
    margin = (logits.gather(1, y[:, None]) - logits.gather(1, 1 - y[:, None]))[:, 0]
    w = linear.network.weight[0] - linear.network.weight[1]
    exact = (margin / (w.abs().sum() if norm == "linf" else w.norm())).clamp(0, 0.4).mean().item()
    assert exact <= found.numbers["minimal_epsilon"] <= exact + 0.4 / 2**12


class Bumpy(nn.Module):
    """Its answer turns over and back along every direction: a larger ball holds the points of a smaller one."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        wave = (9 * self.scale * x).sin().sum(1)
        return torch.stack([wave, -wave], 1)


def test_it_never_rises_with_epsilon_and_is_the_clean_accuracy_at_0():
    objective = Objective(Bumpy(), Classification())
    x = torch.randn(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = objective.network(x).argmax(1)
    one = part(objective, (x, y), torch.ones(4))
    found = Robustness(0.05, partial(PGD, steps=1, random_start=False), curve=[i / 20 for i in range(1, 20)])(one, one)
    curve = found.series["robustness"]["robust_accuracy"]
    assert curve[0] == found.numbers["clean_accuracy"] == 1
    assert curve == sorted(curve, reverse=True)
    assert curve[-1] < curve[0]


def test_so_many_samples_are_attacked(linear, samples):
    x, y = samples
    first = part(linear, (x[:100], y[:100]), torch.ones(8))
    every = part(linear, samples, torch.ones(8))
    assert Robustness(0.1, samples=100)(every, every) == Robustness(0.1, samples=None)(first, first)
    assert Robustness(0.1, samples=10**6)(every, every) == Robustness(0.1, samples=None)(every, every)


def test_images_stay_images(monkeypatch):
    seen = []

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):  # (B, C, H, W)
            seen.append(x.detach())
            total = self.scale * (x.flatten(1).mean(1) - 0.5)
            return torch.stack([total, -total], 1)

    x = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    one = Part(Objective(Sum(), Classification()), [(x, (x.flatten(1).mean(1) < 0.5).long())])
    Robustness(0.3)(one, one)
    assert all(0 <= batch.min() <= batch.max() <= 1 for batch in seen)
    moved = max((batch - x[: len(batch)]).abs().max().item() for batch in seen if len(batch) == 30)
    assert moved == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("epsilon=-0.1", r"epsilon must be a finite number > 0"),
        ("epsilon=0", r"epsilon must be a finite number > 0"),
        ("epsilon=.inf", r"epsilon=\.inf must be a finite number"),
        ("epsilon=1.5", r"epsilon=1\.5 is larger than the range of bounds=\(0\.0, 1\.0\)"),
        ("curve=[0.1,-1]", r"curve must be a finite number > 0"),
        ("curve=0.3", r"measure\.robustness\.curve=0\.3 must be a list"),
        ("samples=0", r"samples must be a whole number >= 1"),
        ("attack.steps=0", r"steps must be a whole number >= 1"),
        ("attack.norm=l3", r"attack\.norm=l3 must be one of linf, l2"),
        ("attack.stepz=3", r"attack.*stepz"),
    ],
)
def test_settings_out_of_range_are_told_before_training(settings, sentence, tmp_path):
    done = train(*TINY, "measure=robustness", f"measure.robustness.{settings}", cwd=tmp_path)
    assert_one_sentence(done, sentence)


def test_a_table_is_attacked_in_units_of_its_columns(tmp_path):
    kept = train_into(
        tmp_path / "run",
        "data=wine",
        "model.widths=[16]",
        "trainer.max_epochs=30",
        "optimizer.lr=0.01",
        "logger=none",
        "measure=robustness",
        "measure.robustness.epsilon=0.3",
        "measure.robustness.curve=[1.5]",
    )
    found = kept["metrics"]["test"]
    assert found["clean_accuracy"] == pytest.approx(found["accuracy"])
    assert found["clean_accuracy"] >= found["robust_accuracy"] > found["robust_accuracy_1.5"]


def test_an_epoch_is_chosen_by_robust_accuracy(tmp_path):
    kept = train_into(
        tmp_path / "run",
        *TINY[:1],
        "trainer.max_epochs=4",
        "data.train_size=100",
        "logger=none",
        "measure=robustness",
        "measure.robustness.at=epoch",
        "measure.robustness.samples=100",
        "monitor=val/robust_accuracy",
    )
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    place = rows[0].split(",").index("val/robust_accuracy")
    course = [float(row.split(",")[place]) for row in rows[1:]]
    assert course[kept["best_epoch"]] == max(course)


def test_another_radius_is_measured_again(tmp_path):
    train_into(tmp_path / "run", *TINY, "logger=none", "measure=robustness", "measure.robustness.curve=[0.2]")
    before = record(tmp_path / "run")["metrics"]["test"]
    asked = [f"run={tmp_path}/run", "measure=robustness", "measure.robustness.epsilon=0.3"]
    assert evaluate(*asked, cwd=tmp_path).code == 0
    after = record(tmp_path / "run")["metrics"]["test"]
    assert after["robust_accuracy"] <= before["robust_accuracy"]
    assert "robust_accuracy_0.2" in before
    assert "robust_accuracy_0.2" not in after  # what it found with other settings is not its any more
