"""One epoch of one run: what was measured, under which names, and all who are told."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..core.errors import Diverged
from ..core.metrics import SCALES
from .metrics_csv import COUNTS, MetricsFile, Row, read_rows

Metrics = Mapping[str, float]
SPLITS = {"train": "train_eval/", "val": "val/", "gap": "gap/"}  # of the record, and how their names begin
WEIGHTS = {"sparsity": "weights/sparsity", "zeros": "weights/zeros", "weight_norm": "weights/norm"}

RESERVED = (*SPLITS, *WEIGHTS, "test")  # names of a record's metrics that nothing else can have

log = logging.getLogger(__name__)


class Listener(Protocol):
    """What is told of metrics: a logger of Lightning, or an `EventFile`."""

    def log_metrics(self, metrics: dict[str, float], step: int, /) -> None: ...


class Ledger:
    """The books of one run, whoever trains it. One row for each validation, of which an epoch has one by default:

      ``train/<term>``       mean over the epoch's samples as they were trained on (noise and all);
                             ``train/objective`` their sum, ``train/share/<penalty>`` the part of each in it
      ``weights/...``        norm and sparsity, see `regnet.core.weights.weight_statistics`
      ``lr``, ``lr/1``, ...  the learning rate of the last step, of each of the optimizer's parameter groups
      ``strength/<name>``, ``rate/<name>``  of what follows a schedule, at the last step
      ``val/<metric>``       on the validation set, free of penalties
      ``train_eval/<metric>``  the same in evaluation mode on a fixed part of the training set
      ``gap/<metric>``       the generalization gap between the two, positive when training looks better

    and whatever else a module or a callback logs (`add`). Beside them ``step/<term>``, of single steps.

    Attributes:
        measured: the names and values of the last validation.
        rows: of all validations so far, with ``epoch`` and ``step``; also in metrics.csv, once it is open.
        listeners: are told what is measured.
        stores: by which the stores of loggers know the run, by the loggers' names.
    """

    def __init__(self) -> None:
        self.measured: dict[str, float] = {}
        self.rows: list[Row] = []
        self.listeners: list[Listener] = []
        self.stores: dict[str, str] = {}
        self._file: MetricsFile | None = None
        self._waiting: dict[str, float] = {}  # logged since the last row
        self._refused: set[str] = set()
        self._telling = False
        self._saved = 0  # rows that the checkpoint has seen from which the run goes on

    def open(self, path: Path, write: bool = True) -> None:
        """Begins metrics.csv; of one that is there, the rows stay that the run's checkpoint has seen."""
        self.rows = read_rows(path)[: self._saved] if self._saved else []
        if write:
            self._file = MetricsFile(path)
            self._file.start(self.rows)

    def step(self, terms: Metrics, epoch: int, step: int, check: bool = True) -> None:
        """A step's own terms, for epochs too long to wait for. Raises Diverged: one of them is not finite."""
        values = {f"step/{name}": value for name, value in terms.items()}
        if check:
            check_finite(values, epoch, step)
        self._tell(values, step)

    def validated(self, epoch: int, step: int, state: Metrics, val: Metrics, probe: Metrics) -> None:
        """What a validation found; nothing is told of it yet.

        Args:
            state: of the training so far, see `training_state`.
            val: the metrics on the validation set.
            probe: those on the part of the training set.

        Raises:
            Diverged: one of them is not finite.
        """
        gap = generalization_gap(probe, val) if probe and val else {}
        parts = {"val": val, "train_eval": probe, "gap": gap}
        named = {f"{part}/{name}": value for part, metrics in parts.items() for name, value in metrics.items()}
        self.measured = {**state, **named}
        check_finite(self.measured, epoch, step)

    def enter(self, epoch: int, step: int, row: bool = True) -> None:
        """Tells what was measured; with `row` it becomes one of metrics.csv."""
        if row:
            self.rows.append({"epoch": epoch, "step": step, **self._waiting, **self.measured})
            self._waiting = {}
        self._tell(self.measured, step)

    def add(self, values: Metrics, step: int) -> None:
        """Something that others log: in the row of the same step, or else in the next one. Our own names stay ours."""
        if self._telling:  # a logger passes on what it is told here
            return
        taken = {name for name in values if name in self.measured or name in RESERVED}
        for name in sorted(taken - self._refused - {*COUNTS}):
            log.warning("a callback logs %s, which is regnet's own name: its value is not recorded", name)
        self._refused |= taken
        others = {name: value for name, value in values.items() if name not in (*taken, *COUNTS)}
        if self.rows and self.rows[-1]["step"] == step:
            self.rows[-1] |= others
            if others and self._file:
                self._file.changed(len(self.rows) - 1)
        else:
            self._waiting |= others

    def flush(self) -> None:
        """Brings metrics.csv up to date on disk."""
        if self._file:
            self._file.write(self.rows)

    def record(self, measured: Mapping[str, float]) -> dict[str, Any]:
        """The metrics of the validation that measured this, as a record has them, with what others have logged of it.

        ``train`` (in evaluation mode), ``val`` and ``gap`` hold names and numbers; beside them are numbers. What was
        logged, but not of that validation, is None.
        """
        row = next((row for row in reversed(self.rows) if measured.items() <= row.items()), {})
        logged = dict.fromkeys(name for row in self.rows for name in row)
        others = {name: row.get(name) for name in logged if name not in (*measured, *COUNTS)}
        every = {**measured, **others}
        parts = {
            part: {name.removeprefix(prefix): value for name, value in every.items() if name.startswith(prefix)}
            for part, prefix in SPLITS.items()
        }
        whole = {name: value for name, value in others.items() if not name.startswith(tuple(SPLITS.values()))}
        return {**whole, **parts, **{name: measured.get(key) for name, key in WEIGHTS.items()}}

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "measured": dict(self.measured),
            "waiting": dict(self._waiting),
            "rows": len(self.rows) if self._file else 0,
            "loggers": dict(self.stores),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.measured, self._saved = dict(state["measured"]), state.get("rows", 0)
        self._waiting = dict(state.get("waiting", {}))

    def _tell(self, values: dict[str, float], step: int) -> None:
        self._telling = True
        try:
            for listener in self.listeners:
                listener.log_metrics(values, step)
        finally:
            self._telling = False


def check_finite(values: Metrics, epoch: int, step: int) -> None:
    """Raises Diverged for the first value that is not finite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise Diverged(f"{name} became {value} in epoch {epoch}, step {step}")


def training_state(
    terms: Metrics, weights: Metrics, rates: Sequence[float | Tensor], schedules: Metrics
) -> dict[str, float]:
    """The part of a row that is of the training: its terms, the weights, the learning rates, what is scheduled."""
    return {
        **train_terms(terms),
        **{f"weights/{name}": value for name, value in weights.items()},
        **{f"lr/{i}" if i else "lr": float(rate) for i, rate in enumerate(rates)},
        **schedules,
    }


def train_terms(terms: Metrics) -> dict[str, float]:
    """``train/<term>`` for every term, ``train/objective`` = their sum, and each penalty's share of it."""
    if not terms:
        return {}
    objective = sum(terms.values())
    shares = {name: value / objective if objective else 0.0 for name, value in terms.items() if name != "loss"}
    return (
        {f"train/{name}": value for name, value in terms.items()}
        | {"train/objective": objective}
        | {name.replace("penalty/", "train/share/"): share for name, share in shares.items()}
    )


def generalization_gap(train: Metrics, val: Metrics) -> dict[str, float]:
    """How much better training looks than validation: val - train where less is better, train - val where more is."""
    return {name: SCALES[name].sign * (val[name] - train[name]) for name in train if name in SCALES}
