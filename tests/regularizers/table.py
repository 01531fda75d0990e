"""One row for each file in conf/regularizer, and the reference that it is held against."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import references as ref
from lightning.pytorch.callbacks import Callback, EarlyStopping

from regnet import regularizers as R
from regnet.callbacks import Ema

CONF = Path(__file__).parents[2] / "conf" / "regularizer"
FILES = sorted(path.stem for path in CONF.glob("*.yaml"))
CLASSES = 4


class Row(NamedTuple):
    """`make` builds it; a penalty from its strength, a layer from its rate.

    The reference, in NumPy, is by kind:
    penalty: its value at strength 1 of weights, given as `references.blocks` (a starting point is 0.5);
        of activations, (B, ...) each; of logits (B, C), of two passes (2B, C);
        of the derivatives of logits (B, C, D) and loss (B, D) by the inputs
    constraint: whether the weights (fan-in,) of a unit are feasible
    layer: of an input (B, C, H, W), the shape of its independent draws
    others: none, see the tests of the class itself
    """

    kind: type | None
    make: Callable[..., Any]
    reference: Callable[..., Any] | None = None


PENALTIES = {
    "l1": Row(R.Penalty, R.L1, ref.entries(np.abs)),
    "l2": Row(R.Penalty, R.L2, ref.entries(np.square)),
    "elastic_net": Row(
        R.Penalty, partial(R.ElasticNet, l1_ratio=0.25), ref.entries(lambda w: 0.25 * abs(w) + 0.75 * w**2)
    ),
    "l2_sp": Row(R.Penalty, R.L2SP, ref.entries(lambda w: (w - 0.5) ** 2)),
    "group_lasso": Row(R.Penalty, R.GroupLasso, ref.group_lasso(0)),
    "sparse_group_lasso": Row(R.Penalty, partial(R.SparseGroupLasso, l1_ratio=0.25), ref.sparse_group_lasso),
    "hoyer": Row(R.Penalty, R.Hoyer, ref.hoyer_square),
    "orthogonal": Row(R.Penalty, R.Orthogonal, ref.matrices(ref.gram)),
    "spectral_norm": Row(R.Penalty, R.SpectralNorm, ref.matrices(ref.largest_singular)),
    "nuclear_norm": Row(R.Penalty, R.NuclearNorm, ref.matrices(ref.all_singular)),
    "activity_l1": Row(R.Penalty, R.ActivityL1, lambda hs: sum(np.abs(h).sum() / len(h) for h in hs)),
    "activity_l2": Row(R.Penalty, R.ActivityL2, lambda hs: sum((h**2).sum() / len(h) for h in hs)),
    "kl_sparsity": Row(R.Penalty, partial(R.KLSparsity, target=0.25), ref.kl_sparsity),
    "confidence_penalty": Row(R.Penalty, partial(R.ConfidencePenalty, num_classes=CLASSES), ref.negative_entropy),
    "spectral_decoupling": Row(
        R.Penalty, partial(R.SpectralDecoupling, num_classes=CLASSES), lambda z: (z**2).sum(1).mean()
    ),
    "r_drop": Row(R.Penalty, partial(R.RDrop, num_classes=CLASSES), ref.symmetric_kl),
    "jacobian": Row(R.Penalty, partial(R.Jacobian, projections=None), lambda dz, dloss: (dz**2).sum((1, 2)).mean()),
    "gradient_penalty": Row(R.Penalty, R.GradientPenalty, lambda dz, dloss: (dloss**2).sum(1).mean()),
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


def penalties(*kinds: type) -> pytest.MarkDecorator:
    rows = {name: row for name, row in PENALTIES.items() if issubclass(made_by(row), kinds)}
    return pytest.mark.parametrize("row", rows.values(), ids=rows)


def made_by(row: Row) -> type:
    return row.make.func if isinstance(row.make, partial) else row.make
