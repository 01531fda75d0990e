"""Calibration against scikit-learn, torchmetrics, and samples whose calibration is known."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from regnet.measures.calibration import brier, classwise_ece, ece, reliability, temperature


@pytest.fixture
def logits():
    return 3 * torch.randn(500, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def y():
    return torch.randint(5, (500,), generator=torch.Generator().manual_seed(1))


def judged(logits, y):
    confidence, prediction = logits.softmax(1).max(1)
    return confidence, prediction == y


def test_brier_is_that_of_scikit_learn(logits, y):
    p = logits.softmax(1)
    ours = sum(brier_score_loss((y == c).numpy(), p[:, c].numpy()) for c in range(5))
    assert brier(p, y) == pytest.approx(ours, rel=1e-9)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_is_that_of_torchmetrics(logits, y, bins):
    theirs = multiclass_calibration_error(logits.softmax(1), y, num_classes=5, n_bins=bins)
    assert ece(*judged(logits, y), bins) == pytest.approx(theirs.item(), rel=1e-5)


def test_classwise_ece_by_hand(logits, y):
    p = logits.softmax(1).numpy()
    errors = []
    for c in range(5):
        index = np.clip(np.ceil(p[:, c] * 15).astype(int) - 1, 0, 14)
        errors.append(sum(abs(((y.numpy() == c)[index == b] - p[index == b, c]).sum()) for b in range(15)) / len(p))
    assert classwise_ece(torch.tensor(p), y) == pytest.approx(np.mean(errors), rel=1e-9)


def test_bins_of_equal_mass_hold_as_many_samples_each(logits, y):
    count, accuracy, mean = reliability(*judged(logits, y), 10, equal_mass=True)
    assert count.tolist() == [50] * 10
    confidence, correct = judged(logits, y)
    order = confidence.argsort()
    assert mean.tolist() == pytest.approx([c.mean().item() for c in confidence[order].split(50)])
    assert accuracy.tolist() == pytest.approx([c.double().mean().item() for c in correct[order].split(50)])


def test_equal_confidences_share_a_bin_in_any_order():
    confidence = torch.tensor([0.5] * 6 + [0.9] * 6)
    correct = torch.tensor([1, 0, 0, 0, 0, 1] + [1] * 6)
    orders = (torch.randperm(12, generator=torch.Generator().manual_seed(i)) for i in range(5))
    found = {ece(confidence[order], correct[order], 4, equal_mass=True) for order in orders}
    assert [round(value, 6) for value in found] == [round((6 * abs(1 / 3 - 0.5) + 6 * 0.1) / 12, 6)]


@pytest.mark.parametrize("equal_mass", [False, True])
def test_a_calibrated_network_has_an_ece_within_its_sampling_error(equal_mass):
    """|accuracy - confidence| of n samples is σ / √n at most on average, so the sum √(bins · p(1-p) / N)."""
    generator = torch.Generator().manual_seed(3)
    n, bins = 20_000, 15
    confidence = 0.2 + 0.8 * torch.rand(n, generator=generator, dtype=torch.float64)
    correct = torch.rand(n, generator=generator, dtype=torch.float64) < confidence
    bound = math.sqrt(bins * (confidence * (1 - confidence)).mean().item() / n)
    assert ece(confidence, correct, bins, equal_mass) < bound
    # and what is wrong by a tenth is seen as that
    assert ece((confidence - 0.1).clamp(min=0), correct, bins, equal_mass) == pytest.approx(0.1, abs=bound)


@pytest.mark.parametrize("true", [0.05, 0.5, 1.0, 3.0, 40.0])
def test_temperature_is_found_again(true):
    generator = torch.Generator().manual_seed(4)
    logits = 2 * torch.randn(50_000, 4, generator=generator, dtype=torch.float64)
    y = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert temperature(true * logits, y) == pytest.approx(true, rel=0.03)


def test_no_other_temperature_has_a_lower_nll(logits, y):
    best = temperature(logits, y)
    nll = F.cross_entropy(logits / best, y).item()
    assert all(nll <= F.cross_entropy(logits / t, y).item() + 1e-12 for t in np.geomspace(best / 50, 50 * best, 400))


def test_every_prediction_is_the_same_at_every_temperature(logits):
    for t in (1e-3, 0.3, 7, 1e3):
        assert torch.equal((logits / t).argmax(1), logits.argmax(1))


@pytest.mark.parametrize(("wrong", "end"), [(False, 1e-3), (True, 1e3)])
def test_of_samples_that_are_all_right_or_worse_than_chance_the_end_of_the_range_is_taken(wrong, end):
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert temperature(logits, torch.tensor([1, 0] if wrong else [0, 1])) == pytest.approx(end, rel=1e-6)
