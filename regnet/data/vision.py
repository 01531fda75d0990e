"""torchvision's image sets, as arrays."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core import values
from ..core.errors import UserError
from .samples import Dataset, Samples

log = logging.getLogger(__name__)

NAMES = ("MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "SVHN")
PLACES = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python", "SVHN": "*_32x32.mat"}
TIMEOUT = 30  # seconds without a byte; torchvision's own downloads wait for ever
_offline = ContextVar("offline", default=False)


@dataclass(frozen=True)
class TorchvisionImages:
    """MNIST, FashionMNIST, KMNIST, CIFAR10, CIFAR100 or SVHN with its own test part.

    They are kept in the folder `root` in torchvision's layout, and downloaded there where absent (see `offline`).
    """

    name: str
    root: str

    def __post_init__(self) -> None:
        """Raises ValueError for any other name."""
        values.one_of(self.name, "name", NAMES)

    def load(self) -> Dataset:
        """Reads the files.

        Raises:
            UserError: they are damaged, or absent and not to be had.
        """
        train, test = self._part(train=True), self._part(train=False)
        classes = getattr(train, "classes", range(10))  # SVHN names none: its classes are the digits
        samples, held_out = (self._samples(part, len(classes)) for part in (train, test))
        return Dataset(samples, held_out, tuple(str(name) for name in classes))

    def _part(self, train: bool) -> Any:
        from torchvision import datasets

        which = {"split": "train" if train else "test"} if self.name == "SVHN" else {"train": train}
        root = Path(self.root).expanduser()
        kind = getattr(datasets, self.name)
        try:
            return kind(root, **which)
        except Exception as error:
            # torchvision checks that files are there; what a broken one raises deep inside is anything
            if "not found" not in str(error):
                raise self._damaged() from error
        if _offline.get():
            raise UserError(
                f"{self.name} is absent in data.root={self.root}, and a run's record has nothing downloaded: name the "
                "data on the command line, such as data=mnist data.root=FOLDER"
            )
        log.info("downloading %s to %s", self.name, root)
        try:
            with _patient(TIMEOUT), redirect_stdout(StringIO()):
                return kind(root, **which, download=True)
        except (OSError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise UserError(
                f"{self.name} is absent or damaged in data.root={self.root} and could not be downloaded "
                f"({reason}); set data.root or the environment variable REGNET_DATA to a folder that holds it"
            ) from error

    def _samples(self, part: Any, num_classes: int) -> Samples:
        x = _channels_first(torch.as_tensor(part.data))
        y = torch.as_tensor(part.labels if self.name == "SVHN" else part.targets, dtype=torch.int64)
        if len(x) != len(y) or not ((y >= 0) & (y < num_classes)).all():
            raise self._damaged()
        return Samples(x, y)

    def _damaged(self) -> UserError:
        return UserError(
            f"The files of {self.name} in data.root={self.root} are damaged; "
            f"delete {Path(self.root) / PLACES.get(self.name, self.name)} so that they are downloaded again"
        )


@contextmanager
def offline() -> Iterator[None]:
    """Within it nothing is downloaded: a run folder can come from a stranger, and with it the place to write to."""
    token = _offline.set(True)
    try:
        yield
    finally:
        _offline.reset(token)


def _channels_first(x: Tensor) -> Tensor:
    """uint8 (N, C, H, W) from (N, H, W), MNIST and its kin, or (N, H, W, 3), CIFAR."""
    if x.ndim == 3:
        return x[:, None]
    return x.permute(0, 3, 1, 2).contiguous() if x.shape[-1] == 3 else x.contiguous()


@contextmanager
def _patient(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
