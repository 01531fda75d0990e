"""What came out of a training: the epoch that validation chose, and the last one, tested."""

from collections.abc import Mapping
from typing import Any

import torch

from ..data import DataModule
from ..run.checkpoints import load_objective
from ..training.module import RegularizedModule
from .at_end import added, at_end
from .measure import Measure
from .task_metrics import task_metrics


def result(
    module: RegularizedModule,
    data: DataModule,
    chosen: dict[str, Any],
    last: dict[str, Any],
    epochs: int,
    device: torch.device,
    measures: Mapping[str, Measure],
) -> dict[str, Any]:
    """For the record: the metrics of the chosen and the last checkpoint of their time, and on test, looked at only now.

    Args:
        module: gets the chosen weights.
        chosen, last: checkpoints.
        epochs: that were trained.
        measures: of the chosen weights, on validation and test.
    """

    def metrics(checkpoint: dict[str, Any]) -> dict[str, Any]:
        load_objective(module.objective, checkpoint)
        test = task_metrics(module.objective, data.test_dataloader(), device=device)
        return {**module.ledger.record(checkpoint["measured"]), "test": test}

    at_last = metrics(last)
    is_last = chosen["global_step"] == last["global_step"]
    found: dict[str, Any] = {
        "status": "completed",
        "epochs": epochs,
        "best_epoch": min(chosen["epoch"], epochs - 1),  # after the last epoch last.ckpt has the next number
        "metrics": at_last if is_last else metrics(chosen),
        "last": at_last,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    return added(found, at_end(measures, module.objective, data, device))
