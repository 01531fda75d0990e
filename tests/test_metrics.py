"""Which way a metric is better, in one place for all."""

import pytest

from regnet.core.metrics import SCALES, direction, scale_of
from regnet.core.tasks import Classification, Regression
from regnet.run.ledger import generalization_gap


def test_every_metric_of_every_task_has_a_direction():
    assert set(Classification.names) | set(Regression.names) == set(SCALES)
    assert {name for name, scale in SCALES.items() if scale.better == "max"} == {"accuracy", "r2"}


def test_the_gap_and_the_report_have_the_same():
    train, val = dict.fromkeys(SCALES, 0.75), dict.fromkeys(SCALES, 0.5)
    gap = generalization_gap(train, val)
    assert gap == {"loss": -0.25, "accuracy": 0.25, "nll": -0.25, "ece": -0.25, "rmse": -0.25, "r2": 0.25}
    signs = {name: scale_of(name).sign for name in SCALES}
    assert signs == {"loss": 1, "accuracy": -1, "nll": 1, "ece": 1, "rmse": 1, "r2": -1}


@pytest.mark.parametrize("monitor", ["val/auc", "loss", "gap/accuracy", "train_eval/loss", "val_loss", None])
def test_nothing_else_can_be_watched(monitor):
    shown = "null" if monitor is None else monitor
    with pytest.raises(ValueError, match=rf"monitor={shown} must be one of val/loss, val/accuracy, "):
        direction(monitor)
