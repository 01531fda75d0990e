"""One row for each file in conf/regularizer, and the reference that it is held against."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback, EarlyStopping

from regnet import regularizers as R
from regnet.callbacks import Ema

CONF = Path(__file__).parents[2] / "conf" / "regularizer"
FILES = sorted(path.stem for path in CONF.glob("*.yaml"))
CLASSES = 4


class Row(NamedTuple):
    """`make` builds it; a penalty from its strength, a layer from its rate.

    The reference, in NumPy, is by kind:
    penalty: its value at strength 1, of all weights as one vector; constraint: whether the weights (fan-in,)
    of a unit are feasible; layer: of an input (B, C, H, W), the shape of its independent draws;
    others: none, see the tests of the class itself.
    """

    kind: type | None
    make: Callable[..., Any]
    reference: Callable[..., Any] | None = None


PENALTIES = {
    "l1": Row(R.Penalty, R.L1, lambda w: np.abs(w).sum()),
    "l2": Row(R.Penalty, R.L2, lambda w: (w**2).sum()),
    "elastic_net": Row(R.Penalty, partial(R.ElasticNet, l1_ratio=0.25), lambda w: (0.25 * abs(w) + 0.75 * w**2).sum()),
}

UPDATES = {
    "max_norm": Row(R.Constraint, partial(R.MaxNorm, 0.5), lambda w: np.linalg.norm(w) <= 0.5 * (1 + 1e-6)),
    "weight_decay": Row(R.Update, partial(R.WeightDecay, 0.1)),
}

LAYERS = {
    "dropout": Row(R.Dropout, R.Dropout, lambda shape: shape),
    "input_dropout": Row(R.Dropout, R.Dropout, lambda shape: shape),
    "spatial_dropout": Row(R.Dropout, R.SpatialDropout, lambda shape: (*shape[:2], 1, 1)),
}

TRANSFORMS = {
    "augment": Row(R.BatchTransform, partial(R.ShiftFlip, 2, True)),
    "mixup": Row(R.BatchTransform, partial(R.Mixup, 0.4, CLASSES)),
    "cutmix": Row(R.BatchTransform, partial(R.CutMix, 1.0, CLASSES)),
    "mixup_cutmix": Row(R.BatchTransform, partial(R.MixupOrCutMix, 1.0, CLASSES)),
    "cutout": Row(R.BatchTransform, partial(R.Cutout, 0.4)),
    "random_erasing": Row(R.BatchTransform, R.RandomErasing),
    "input_noise": Row(R.BatchTransform, partial(R.InputNoise, 0.3)),
    "rand_augment": Row(R.BatchTransform, R.RandAugment),
    "trivial_augment": Row(R.BatchTransform, R.TrivialAugment),
    "auto_augment": Row(R.BatchTransform, partial(R.AutoAugment, "svhn")),
    "aug_mix": Row(R.BatchTransform, R.AugMix),
    "label_smoothing": Row(R.BatchTransform, partial(R.LabelSmoothing, 0.1, CLASSES)),
}

PROCESS = {
    "early_stopping": Row(Callback, partial(EarlyStopping, "val/loss")),
    "ema": Row(Callback, partial(Ema, decay=0.9)),
}

TABLE = {"none": Row(None, lambda: None)} | PENALTIES | UPDATES | LAYERS | TRANSFORMS | PROCESS
# what no file chooses by itself
OTHERS = {"feature_noise": Row(R.BatchTransform, partial(R.FeatureNoise, 0.3))}


def each(kind: type) -> pytest.MarkDecorator:
    rows = {name: row for name, row in (TABLE | OTHERS).items() if row.kind is kind}
    return pytest.mark.parametrize("row", rows.values(), ids=rows)


def made_by(row: Row) -> type:
    return row.make.func if isinstance(row.make, partial) else row.make
