"""The data module: from a source to the loaders of one run."""

import copy
import logging
from functools import cache, cached_property
from typing import Protocol

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..core.errors import UserError, shown
from ..core.seeds import derive
from ..core.values import LONGEST
from .loader import EpochSampler, TensorLoader, count_batches, make_loader
from .moments import divisor, input_moments
from .samples import Dataset, Samples
from .split import check_train_size, corrupt_labels, split

EXACT = (torch.uint8, torch.float32, torch.int64, torch.int32)  # what inputs may be
log = logging.getLogger(__name__)


@cache
def _say(note: str) -> None:
    """Once, whatever the number of runs that read the same data."""
    log.warning(note)


class Source(Protocol):
    def load(self) -> Dataset: ...


class DataModule(LightningDataModule):
    """Training, validation and test samples, split once by `split_seed`, batched in the order of `seed`.

    After `setup` it holds `train`, `val`, `test` and `probe` (Samples), `classes`, `features`, `schema`,
    `notes`, `description`, `input_module` and `example` (see Dataset). `probe` is the fixed part of the
    training set on which train metrics are measured: as many samples as `val` has, or all of a smaller `train`. Labels
    are noisy in `train` and so in `probe`; `val` and `test` stay clean.

    Args:
        source: an object whose ``load()`` gives a Dataset.
        train_size: number of training samples; None for all. Smaller sets are part of larger ones.
        val_fraction: of the samples that are not for test; unused where the source has a validation part of its own.
        test_fraction: of the source's samples; unused where it has a test part of its own. Where it has one for
            validation and none for test, the test part is split off the training samples: validation chooses and
            test only reports, so they never share a sample.
        label_noise: exact rate of wrong labels in `train`; classification only.
        num_workers: processes that read images which do not fit in memory.
    """

    train: Samples
    val: Samples
    test: Samples
    probe: Samples

    def __init__(
        self,
        source: Source,
        batch_size: int = 128,
        eval_batch_size: int = 1024,
        train_size: int | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        label_noise: float = 0.0,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.source = source
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.train_size = train_size
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.label_noise = label_noise
        self.num_workers = num_workers
        self.seed = seed

    def setup(self, stage: str | None = None) -> None:
        """Load and split, once.

        Raises:
            UserError: settings that are out of range or that the data cannot fulfil.
        """
        if hasattr(self, "train"):
            return
        self._check_settings()
        data = self._load()
        self.classes, self.features, self.schema = data.classes, data.features, data.schema
        self.notes, self.description = data.notes, data.description
        for note in data.notes:
            _say(note)
        self._check_types(data)
        test_fraction = self.test_fraction if data.test is None else 0
        val_fraction = self.val_fraction if data.val is None else 0
        parts = split(data.samples.y, test_fraction, val_fraction, self.train_size, self.split_seed)
        self.val = data.samples.subset(parts.val) if data.val is None else data.val
        self.test = data.samples.subset(parts.test) if data.test is None else data.test
        self._train_on(data.samples.subset(parts.train))
        self.input_module, self.example = data.input_module, data.tried_on()

    def variant(self, train_size: int | None, label_noise: float, seed: int) -> "DataModule":
        """The same samples for another run, which shares their memory: what these settings would have given.

        Only for a module that has been set up with all of its training samples and clean labels.

        Raises:
            UserError: as `setup` does.
        """
        other = copy.copy(self)
        other.train_size, other.label_noise, other.seed = train_size, label_noise, seed
        other._check_settings()
        check_train_size(train_size, len(self.train))
        if train_size is None and label_noise == 0:
            return other
        other.__dict__.pop("_moments", None)
        other._train_on(self.train.first(train_size))
        return other

    def _train_on(self, train: Samples) -> None:
        self._check_training(train)
        self.train = self._with_noise(train)
        self.probe = self.train.first(len(self.val))

    @property
    def task(self) -> str:
        """Either "classification" or "regression"."""
        return "regression" if self.classes is None else "classification"

    @property
    def num_classes(self) -> int | None:
        return None if self.classes is None else len(self.classes)

    @property
    def num_outputs(self) -> int:
        """Of a network: one score for each class, or the one value."""
        return self.num_classes or 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input: (C, H, W) or (F,)."""
        return tuple(self.train.x[0].shape)

    @property
    def inputs(self) -> str:
        """What a network's inputs go through first: ``standardize``, ``none``, or the class of its own."""
        if self.input_module is not None:
            return f"{type(self.input_module).__module__}.{type(self.input_module).__qualname__}"
        return "standardize" if self.example.is_floating_point() else "none"

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the training inputs, see `input_moments`."""
        return self._moments

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        return input_moments(self.train)

    def target_statistics(self) -> tuple[float, float]:
        """Mean and population standard deviation (1 of a constant) of the training targets."""
        y = self.train.y.double()
        return y.mean().item(), divisor(y.mean(), y.std(correction=0)).item()

    def train_dataloader(self) -> TensorLoader | DataLoader:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        shuffle = not (self.trainer and self.trainer.overfit_batches)  # type: ignore[attr-defined]  # it takes the same batches in each epoch
        sampler = EpochSampler(len(self.train), self.seed, shuffle, rank, world_size, train=True)
        return make_loader(self.train, self.batch_size, sampler, self._device(self.train), self.num_workers)

    def batches(self, processes: int = 1) -> int:
        """Of an epoch of training, in each of so many processes."""
        return count_batches(-(-len(self.train) // processes), self.batch_size)

    def val_dataloader(self) -> list[TensorLoader | DataLoader]:
        """The loaders of `val` and of `probe`; every process sees all of both, so metrics are exact."""
        return [self._eval_loader(self.val), self._eval_loader(self.probe)]

    def test_dataloader(self) -> TensorLoader | DataLoader:
        return self._eval_loader(self.test)

    def _eval_loader(self, samples: Samples) -> TensorLoader | DataLoader:
        sampler = EpochSampler(len(samples), self.seed, shuffle=False)
        return make_loader(samples, self.eval_batch_size, sampler, self._device(samples), self.num_workers)

    def _device(self, samples: Samples) -> torch.device:
        """The Trainer's; without one that of the samples."""
        return self.trainer.strategy.root_device if self.trainer else samples.y.device

    def _check_settings(self) -> None:
        least = {"batch_size": 1, "eval_batch_size": 1, "train_size": 1, "num_workers": 0, "split_seed": 0, "seed": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if name == "train_size" and value is None:
                continue
            if type(value) is not int or not minimum <= value <= LONGEST:
                raise UserError(f"data.{name}={shown(value)} must be a whole number, at least {minimum}")
        noise = self.label_noise
        if not isinstance(noise, int | float) or isinstance(noise, bool) or not 0 <= noise <= 1:
            raise UserError(f"data.label_noise={shown(noise)} must be a number from 0 to 1")
        for name in ("val_fraction", "test_fraction"):
            value = getattr(self, name)
            if not isinstance(value, float) or not 0 < value < 1:
                raise UserError(f"data.{name}={shown(value)} must be a fraction between 0 and 1, such as 0.2")

    def _load(self) -> Dataset:
        source = type(self.source).__name__
        if not hasattr(self.source, "load"):
            raise UserError(f"data.source={source} has no load(), which gives a regnet.data.Dataset")
        if not isinstance(data := self.source.load(), Dataset):
            raise UserError(f"{source}.load() gives a {type(data).__name__}, and must give a regnet.data.Dataset")
        return data

    def _check_types(self, data: Dataset) -> None:
        """Other types would be rounded, as large numbers to float32; other shapes would fail in the test."""
        source = type(self.source).__name__
        sample = tuple(data.samples.x[0].shape) if len(data.samples) else ()
        for name, part in (("training", data.samples), ("val", data.val), ("test", data.test)):
            if part is None:
                continue
            if part is not data.samples and not len(part):
                raise UserError(f"{source} gives a {name} part without samples; leave it out, or give it some")
            if isinstance(part.x, Tensor):
                if part.x.dtype not in EXACT:
                    raise UserError(
                        f"{source} gives inputs of {part.x.dtype}; give float32, of images uint8, and of tokens int64"
                    )
                if len(part) and (0 in part.x.shape or part.x.ndim < 2):
                    raise UserError(
                        f"{source} gives inputs of shape {tuple(part.x.shape)}; give (N, F) or (N, C, H, W)"
                    )
                if len(part) and tuple(part.x.shape[1:]) != sample:
                    raise UserError(
                        f"{source} gives {name} inputs of shape {tuple(part.x.shape[1:])} each, and those for training "
                        f"have {sample}"
                    )
            if part.y.dtype not in (torch.int64, torch.float32):
                raise UserError(
                    f"{source} gives targets of {part.y.dtype}; give int64 for classes, float32 for numbers"
                )
            if part.y.shape != (len(part.x),):
                raise UserError(
                    f"{source} gives targets of shape {tuple(part.y.shape)} for {len(part.x)} inputs; "
                    f"give one for each, ({len(part.x)},)"
                )
            if not part.y.isfinite().all():
                raise UserError(f"{source} gives {name} targets that are not finite; leave those samples out")
            names = data.classes
            if names is not None and len(part) and not 0 <= part.y.min() <= part.y.max() < len(names):
                raise UserError(
                    f"{source} gives targets from {part.y.min()} to {part.y.max()}; its {len(names)} classes are "
                    f"0 to {len(names) - 1}"
                )

        if data.example is not None and tuple(data.example.shape) != (2, *sample):
            raise UserError(
                f"{source} gives an example of shape {tuple(data.example.shape)}; give two inputs, {(2, *sample)}"
            )
        if not isinstance(data.input_module, nn.Module | None):
            raise UserError(f"{source} gives an input_module of {type(data.input_module)}; give a torch.nn.Module")

    def _check_training(self, train: Samples) -> None:
        given = f"data.train_size={self.train_size}" if self.train_size else f"The training set of {len(train)}"
        least = len(self.classes or "xy")
        if len(train) < least:
            what = "one for each class" if self.classes else "or its targets cannot vary"
            raise UserError(f"{given} is too small; training needs at least {least} samples, {what}")
        if self.classes is None:
            return
        missing = (train.y.bincount(minlength=least) == 0).nonzero().flatten().tolist()
        if missing:
            raise UserError(
                f"{given} holds no sample of class {self.classes[missing[0]]!r}; "
                "raise data.train_size, lower the fractions for val and test, or leave that class out"
            )

    def _with_noise(self, train: Samples) -> Samples:
        if self.label_noise == 0:
            return train
        if self.classes is None:
            raise UserError(
                f"data.label_noise={self.label_noise} needs classes, but the targets are numbers; set it to 0"
            )
        generator = torch.Generator().manual_seed(derive(self.split_seed, "label_noise"))
        return Samples(train.x, corrupt_labels(train.y, self.label_noise, len(self.classes), generator))
