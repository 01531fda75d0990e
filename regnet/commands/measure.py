"""Measures of finished runs, as `regnet-evaluate` is asked for them."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ..core.errors import UserError

if TYPE_CHECKING:
    from ..compose.load import TrainedRun
    from ..measures import Part


def measure_study(cfg: DictConfig) -> None:
    """Measures every finished run below the folder `study` that has not been measured so, and tells of each.

    Raises:
        UserError: there are none, a measure has no meaning for their data, or some have no result.
    """
    import torch

    from ..compose.measured import add_measures, missing
    from ..compose.measures import build_measures
    from ..run.record import read_record, runs_in
    from ..run.schema import MEASURED

    if not cfg.measure:
        raise UserError("study=FOLDER needs a measure, such as measure=calibration")
    torch.set_flush_denormal(True)
    runs = runs_in([Path(cfg.study)])
    finished = [run for run in runs if run.status in MEASURED]
    if not finished:
        raise UserError(f"study={cfg.study} holds no run that has a result")
    build_measures(cfg.measure)  # what is wrong with one is told before any run
    failed: list[str] = []
    for i, run in enumerate(finished, 1):
        name, place = run.folder.name, f"{i}/{len(finished)}"
        names = missing(read_record(run.folder) or {}, cfg.measure)
        if not names:
            print(f"{place} {name}: was measured before")
            continue
        record = add_measures(run.folder, cfg.measure, cfg.allow, where=str(run.folder))
        reasons = [f"{key}: {reason}" for key in names if (reason := record["measures"][key]["reason"])]
        failed += reasons
        print(f"{place} {name}: " + ("; ".join(reasons) or ", ".join(names)), flush=True)
    if left := len(runs) - len(finished):
        print(f"without a result, and so not measured: {left}")
    if failed:
        raise UserError(f"study={cfg.study}: {len(failed)} measures found nothing; the first: {failed[0]}")


def measured(nodes: DictConfig, run: "TrainedRun", part: "Part") -> dict[str, float]:
    """What the measures find on the part, whatever their records say."""
    from ..compose.make import try_to
    from ..compose.measures import build_measures, check_measures
    from ..measures import Part
    from ..measures.part import unit_of

    measures = build_measures(nodes)
    check_measures(measures, run.data)
    val = Part(part.objective, run.data.val_dataloader()[0], part.device, "val", unit=unit_of(run.data))
    found = {name: try_to(f"measure.{name}", measure, part, val) for name, measure in measures.items()}
    return {number: value for one in found.values() for number, value in one.numbers.items()}
