"""A sweeper whose runs are made up: all that it decides is real, and nothing is trained."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import open_dict

from regnet.core.overrides import read
from regnet.run.record import RecordedRun
from regnet.sweepers.base import StudySweeper
from tests.helpers.quick_hydra import CONF, quick_hydra

Settings = Mapping[str, Any]


@contextmanager
def made_up(
    sweeper: StudySweeper, measure: Callable[[Settings], Mapping[str, float]], folder: Path, monitor: str | None
) -> Iterator[list[list[list[str]]]]:
    """The sweeper has runs with what `measure` says of their settings on validation; gives the batches it asks for."""
    batches: list[list[list[str]]] = []

    def launch(jobs: Sequence[Sequence[str]]) -> list[RecordedRun]:
        batches.append([list(job) for job in jobs])
        return [run_of(job) for job in jobs]

    def run_of(job: Sequence[str]) -> RecordedRun:
        settings = {one.key: one.value for one in read(job)}
        config = {"monitor": monitor, "mode": None}
        metrics = {"val": dict(measure(settings))}
        return RecordedRun(folder, "completed", overrides=tuple(job), config=config, metrics=metrics)

    with quick_hydra(), initialize_config_dir(str(CONF), version_base=None):
        loader = GlobalHydra.instance().config_loader()
        sweeper.hydra_context = HydraContext(config_loader=loader, callbacks=None)  # type: ignore[arg-type]
        sweeper.config = compose("train", ["study=s"], return_hydra_config=True)
        with open_dict(sweeper.config):
            sweeper.config.hydra.sweep.dir = str(folder / "s")
        sweeper.parser = OverridesParser.create(config_loader=loader)
        sweeper.launch = launch  # type: ignore[method-assign]
        yield batches
