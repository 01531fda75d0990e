"""One row for each file in conf/measure."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from regnet import measures as M

CONF = Path(__file__).parents[2] / "conf" / "measure"
FILES = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != "none")


class Row(NamedTuple):
    """`make` builds it with the settings of its file; on samples of one class it gives numbers, or says `one_class`."""

    make: Callable[..., M.Measure]
    one_class: str | None = None


TABLE = {
    "calibration": Row(M.Calibration),
    "corruption": Row(M.Corruption),
    "robustness": Row(partial(M.Robustness, epsilon=0.1)),
    "ood": Row(M.OOD),
    "selective": Row(M.Selective),
}
