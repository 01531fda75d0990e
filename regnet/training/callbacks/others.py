"""The callbacks that a Trainer has beside one."""

from typing import TypeVar

from lightning import Trainer

Kind = TypeVar("Kind")


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """Those of this kind, in the Trainer's order."""
    return [one for one in trainer.callbacks if isinstance(one, kind)]  # type: ignore[attr-defined]
