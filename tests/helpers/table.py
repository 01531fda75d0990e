"""One row for each file in conf/regularizer, and the reference that it is held against."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback
from scipy.special import expit

from regnet import regularizers as R
from regnet.training.callbacks import EarlyStopping, Ema, Snapshots, Swa
from tests.helpers import references as ref

CONF = Path(__file__).parents[2] / "conf" / "regularizer"
FILES = sorted(path.stem for path in CONF.glob("*.yaml"))
CLASSES = 4


class Noise(NamedTuple):
    """Of a layer's output for an entry x at rate r: its mean and variance; whether a dropped entry has no gradient."""

    mean: Callable[[Any, float], Any] = lambda x, r: x
    variance: Callable[[Any, float], Any] = lambda x, r: x**2 * r / (1 - r)
    drops: bool = True


class Row(NamedTuple):
    """`make` builds it; a penalty from its strength, a layer from its rate.

    The reference, in NumPy, is by kind:
    penalty: its value at strength 1 of weights, given as `references.blocks` (a starting point is 0.5);
        of activations, (B, ...) each; of logits (B, C), of two passes (2B, C);
        of the derivatives of logits (B, C, D) and loss (B, D) by the inputs
    constraint: whether a matrix of weights (units, fan-in) is feasible
    layer: of an input (B, C, H, W), the shape of its independent draws, and `noise`
    weight layer: the sampled weight's E[w̃/w] and the weight in evaluation, both as factors of w, when it is new
    others: none, see the tests of the class itself
    """

    kind: type | None
    make: Callable[..., Any]
    reference: Any = None
    noise: Noise = Noise()


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


def norms(w: np.ndarray) -> np.ndarray:
    return np.linalg.norm(w, axis=1)


def orthonormal(w: np.ndarray) -> bool:
    w = w if len(w) <= w.shape[1] else w.T
    return np.abs(w @ w.T - np.eye(len(w))).max() <= 5e-6  # an SVD in float32 rounds by several eps


UPDATES = {
    "asam": Row(R.Update, partial(R.ASAM, 0.5)),
    "coupled_decay": Row(R.Update, partial(R.CoupledDecay, 0.1)),
    "gradient_clipping": Row(R.Update, partial(R.GradientClipping, 0.1)),
    "gradient_noise": Row(R.Update, partial(R.GradientNoise, 0.1)),
    "lookahead": Row(R.Update, partial(R.Lookahead, 0.5, 2)),
    "sam": Row(R.Update, partial(R.SAM, 0.05)),
    "max_norm": Row(R.Constraint, partial(R.MaxNorm, 0.5), lambda w: norms(w).max() <= 0.5 * (1 + 1e-6)),
    "min_max_norm": Row(
        R.Constraint,
        partial(R.MinMaxNorm, 0.3, 0.6),
        lambda w: norms(w).min() >= 0.3 * (1 - 1e-6) and norms(w).max() <= 0.6 * (1 + 1e-6),
    ),
    "unit_norm": Row(R.Constraint, R.UnitNorm, lambda w: np.abs(norms(w) - 1).max() <= 1e-6),
    "non_negative": Row(R.Constraint, R.NonNegative, lambda w: w.min() >= 0),
    "spectral_clip": Row(
        R.Constraint, partial(R.SpectralClip, 0.8), lambda w: np.linalg.norm(w, 2) <= 0.8 * (1 + 1e-6)
    ),
    "orthogonal_projection": Row(R.Constraint, R.OrthogonalProjection, orthonormal),
    "proximal_l1": Row(R.Proximal, partial(R.ProximalL1, 0.01)),
    "proximal_l0": Row(R.Proximal, partial(R.ProximalL0, 0.01)),
    "proximal_group_lasso": Row(R.Proximal, partial(R.ProximalGroupLasso, 0.01)),
    "weight_decay": Row(R.Update, partial(R.WeightDecay, 0.1)),
}


def alpha_dropout() -> Noise:
    """a (x b + α' (1 - b)) + c of Klambauer et al. 2017, section 2, b ~ Bernoulli(q)."""
    saturation = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717

    def scale(q: float) -> float:
        return (q + saturation**2 * q * (1 - q)) ** -0.5

    return Noise(
        lambda x, r: scale(1 - r) * (x * (1 - r) + saturation * r) - scale(1 - r) * r * saturation,
        lambda x, r: scale(1 - r) ** 2 * r * (1 - r) * (x - saturation) ** 2,
    )


def concrete_dropout() -> Noise:
    """The moments of b̃ / (1 - p), b̃ = 1 - sigmoid((log p - log(1 - p) + log u - log(1 - u)) / 0.1), over u."""

    def moment(p: float, power: int) -> float:
        u = (np.arange(10**6) + 0.5) / 10**6
        dropped = expit((np.log(p) - np.log(1 - p) + np.log(u) - np.log(1 - u)) / 0.1)
        return float((((1 - dropped) / (1 - p)) ** power).mean())

    return Noise(
        lambda x, r: x * moment(r, 1),
        lambda x, r: x**2 * (moment(r, 2) - moment(r, 1) ** 2),
        drops=False,
    )


LAYERS = {
    "dropout": Row(R.Dropout, R.Dropout, lambda shape: shape),
    "input_dropout": Row(R.Dropout, R.Dropout, lambda shape: shape),
    "spatial_dropout": Row(R.Dropout, R.SpatialDropout, lambda shape: (*shape[:2], 1, 1)),
    "gaussian_dropout": Row(R.Dropout, R.GaussianDropout, lambda shape: shape, Noise(drops=False)),
    "alpha_dropout": Row(R.Dropout, R.AlphaDropout, lambda shape: shape, alpha_dropout()),
    "concrete_dropout": Row(R.RandomLayer, R.ConcreteDropout, lambda shape: shape, concrete_dropout()),
    # on maps no larger than the block
    "dropblock": Row(R.Dropout, partial(R.DropBlock, block_size=2), lambda shape: (*shape[:2], 1, 1)),
    "drop_path": Row(R.DropPath, R.DropPath),
    "shake_drop": Row(R.ShakeDrop, R.ShakeDrop),
    "shake_shake": Row(R.ShakeShake, R.ShakeShake),
}

WEIGHT_LAYERS = {
    "drop_connect": Row(R.WeightLayer, partial(R.DropConnect, 0.4), (1.0, 1.0)),
    # by symmetry at log α = 0
    "l0": Row(R.WeightLayer, partial(R.L0, 0.01), (0.5, 0.5)),
    "variational_dropout": Row(R.WeightLayer, partial(R.VariationalDropout, 0.1, 100), (1.0, 1.0)),
}

TRANSFORMS = {
    "augment": Row(R.BatchTransform, partial(R.ShiftFlip, 2, True)),
    "mixup": Row(R.BatchTransform, partial(R.Mixup, 0.4, CLASSES)),
    "cutmix": Row(R.BatchTransform, partial(R.CutMix, 1.0, CLASSES)),
    "mixup_cutmix": Row(R.BatchTransform, partial(R.MixupOrCutMix, 0.4, 1.0, num_classes=CLASSES)),
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
    "snapshots": Row(Callback, partial(Snapshots, 2)),
    "swa": Row(Callback, Swa),
}

TABLE = {"none": Row(None, lambda: None)} | PENALTIES | UPDATES | LAYERS | WEIGHT_LAYERS | TRANSFORMS | PROCESS
# what no file chooses by itself
OTHERS = {"feature_noise": Row(R.BatchTransform, partial(R.FeatureNoise, 0.3))}


def each(*kinds: type) -> pytest.MarkDecorator:
    rows = {name: row for name, row in (TABLE | OTHERS).items() if row.kind in kinds}
    return pytest.mark.parametrize("row", rows.values(), ids=rows)


def penalties(*kinds: type) -> pytest.MarkDecorator:
    rows = {name: row for name, row in PENALTIES.items() if issubclass(made_by(row), kinds)}
    return pytest.mark.parametrize("row", rows.values(), ids=rows)


def made_by(row: Row) -> type:
    return row.make.func if isinstance(row.make, partial) else row.make
