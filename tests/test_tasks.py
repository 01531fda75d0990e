"""Losses and metrics against torchmetrics and scikit-learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score
from torchmetrics.classification import MulticlassCalibrationError

from regnet.core.tasks import Classification, Regression


@pytest.mark.parametrize(("n", "classes", "sharpness"), [(1000, 10, 3.0), (997, 3, 0.5), (50, 2, 8.0), (1, 4, 1.0)])
def test_classification_metrics(n, classes, sharpness):
    y = torch.randint(classes, (n,))
    logits = sharpness * (torch.randn(n, classes) + F.one_hot(y, classes))
    metrics = Classification().metrics(logits, y)
    p = logits.double().softmax(1)
    ece = MulticlassCalibrationError(classes, n_bins=15, norm="l1")(p.float(), y)
    assert list(metrics) == ["loss", "accuracy", "nll", "ece"]
    assert metrics["accuracy"] == pytest.approx(accuracy_score(y, p.argmax(1)))
    assert metrics["nll"] == pytest.approx(log_loss(y, p.clamp(min=1e-300), labels=range(classes)), rel=1e-5)
    assert metrics["loss"] == metrics["nll"] == pytest.approx(Classification()(logits, y).item(), rel=1e-6)
    assert metrics["ece"] == pytest.approx(ece.item(), abs=1e-6)


def test_ece_by_hand():
    """Bins of equal width, closed above: 0.58 and 0.6 are both in (8/15, 9/15], 0.65 in (9/15, 10/15]."""
    p = torch.tensor([[0.6, 0.4], [0.58, 0.42], [0.65, 0.35], [0.0, 1.0]])
    y = torch.tensor([0, 1, 0, 1])
    expected = (abs((1 - 0.6) + (0 - 0.58)) + abs(1 - 0.65) + 0) / 4
    assert Classification().metrics(p.log().clamp(min=-100), y)["ece"] == pytest.approx(expected, rel=1e-5)


def test_extreme_logits_stay_finite():
    logits, y = torch.tensor([[1e4, -1e4], [-1e4, 1e4]]), torch.tensor([1, 1])
    metrics = Classification().metrics(logits, y)
    assert metrics == {"loss": 1e4, "accuracy": 0.5, "nll": 1e4, "ece": pytest.approx(0.5)}


def test_probabilities_as_targets():
    logits, y = torch.randn(20, 5), torch.randn(20, 5).softmax(1)
    expected = -(y * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(Classification()(logits, y), expected)
    classes = torch.randint(5, (20,))
    torch.testing.assert_close(
        Classification()(logits, F.one_hot(classes, 5).float()), Classification()(logits, classes)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_are_reduced_in_float32(dtype):
    logits, y = torch.randn(50, 3).to(dtype), torch.randint(3, (50,))
    for task, out, target in (
        (Classification(), logits, y),
        (Classification(), logits, F.one_hot(y, 3).to(dtype)),
        (Regression(2.0), logits[:, :1], y.to(dtype)),
    ):
        loss = task(out, target)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, task(out.float(), target.float() if target.is_floating_point() else target))
    assert Classification().metrics(logits, y) == Classification().metrics(logits.float(), y)


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_regression_metrics(scale):
    y = 1000 + scale * torch.randn(300)  # a mean far from zero: float32 sums would lose digits
    prediction = (y + 0.3 * scale * torch.randn(300))[:, None]
    metrics = Regression(scale).metrics(prediction, y)
    mse = mean_squared_error(y.double(), prediction.double())
    assert list(metrics) == ["loss", "rmse", "r2"]
    assert metrics["rmse"] == pytest.approx(mse**0.5, rel=1e-9)
    assert metrics["r2"] == pytest.approx(r2_score(y.double(), prediction[:, 0].double()), rel=1e-9)
    assert metrics["loss"] == pytest.approx(mse / scale**2, rel=1e-6)
    assert metrics["loss"] == pytest.approx(Regression(scale)(prediction, y).item(), rel=1e-4)


@pytest.mark.parametrize("prediction", [[3.0, 3.0], [3.0, 4.0]])
def test_r2_of_constant_targets_is_finite(prediction):
    """scikit-learn's convention: 1 where the prediction is perfect, else 0."""
    y = torch.full((2,), 3.0)
    r2 = Regression().metrics(torch.tensor(prediction)[:, None], y)["r2"]
    assert r2 == r2_score(y, np.array(prediction))
