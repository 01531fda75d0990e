"""One row for each file in conf/attack: how a test makes it, with few steps."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from regnet import attacks as A

CONF = Path(__file__).parents[2] / "conf" / "attack"
FILES = sorted(path.stem for path in CONF.glob("*.yaml"))

TABLE: dict[str, Callable[..., A.Attack]] = {
    "fgsm": A.FGSM,
    "pgd": partial(A.PGD, steps=7, restarts=2),
    "pgd_l2": partial(A.PGD, steps=7, norm="l2"),
    "apgd": partial(A.APGD, steps=12),
    "square": partial(A.Square, queries=40),
    "strongest": partial(A.Strongest, steps=8, targets=2, queries=20),
}
