"""Which samples are for training, validation and test, and which training labels are wrong."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.seeds import derive


class Split(NamedTuple):
    """Disjoint int64 indices into the samples; `val` or `test` is empty if the source has such a part of its own."""

    train: Tensor
    val: Tensor
    test: Tensor


def stratified_order(y: Tensor, generator: torch.Generator) -> Tensor:
    """A random order (N,) of the samples, in which every slice holds every class in proportion.

    A sample's place is that of its key (r + ½)/n_c: r = 0 … n_c - 1 is its random rank within its class
    c, which has n_c samples; ties are broken at random. With K classes of which p_c = n_c/N, a prefix
    of m samples holds m·p_c ± ½(1 + p_c(K - 2)) of class c: within ±1 for two classes or balanced ones.
    Real-valued targets are permuted at random.
    """
    shuffled = torch.randperm(len(y), generator=generator)
    if y.is_floating_point():
        return shuffled
    labels = y[shuffled]
    by_class = labels.argsort(stable=True)  # the random order survives within each class
    count = labels.bincount()
    start = count.cumsum(0) - count
    rank = torch.empty_like(labels)
    rank[by_class] = torch.arange(len(y)) - start[labels[by_class]]
    key = (rank + 0.5) / count[labels].double()
    return shuffled[key.argsort(stable=True)]


def split(y: Tensor, test_fraction: float, val_fraction: float, train_size: int | None, seed: int) -> Split:
    """Consecutive slices of one `stratified_order`: test, then validation, then training.

    A fraction of zero cuts nothing off. `val_fraction` is of what the test part leaves. Training sets of
    growing size are nested, and the other parts do not depend on that size (None: all that is left).

    Raises:
        UserError: fewer than `train_size` samples are left, or a fraction is too small for one sample.
    """
    order = stratified_order(y, torch.Generator().manual_seed(derive(seed, "split")))
    test, pool = _cut(order, test_fraction, "test_fraction")
    val, rest = _cut(pool, val_fraction, "val_fraction")
    check_train_size(train_size, len(rest))
    return Split(rest[:train_size], val, test)


def check_train_size(train_size: int | None, left: int) -> None:
    """Raises UserError if fewer than `train_size` samples are left for training."""
    if train_size is not None and train_size > left:
        raise UserError(
            f"data.train_size={train_size} is more than the {left} samples that are left for "
            f"training; choose at most {left}"
        )


def _cut(order: Tensor, fraction: float, name: str) -> tuple[Tensor, Tensor]:
    size = max(1, round(fraction * len(order))) if fraction else 0
    if fraction and fraction * len(order) < 0.5:
        least = f"choose at least {1 / len(order):.2g}" if len(order) else "there are too few"
        raise UserError(f"data.{name}={fraction:g} of {len(order)} samples is no sample; {least}")
    return order[:size], order[size:]


def corrupt_labels(y: Tensor, rate: float, num_classes: int, generator: torch.Generator) -> Tensor:
    """Labels (N,) of which exactly round(rate·N) are wrong, each uniform over the other classes.

    Nested: with the same generator state a larger rate keeps every wrong label of a smaller one.

    Raises:
        UserError: unless 0 ≤ rate ≤ 1.
    """
    if not 0 <= rate <= 1:
        raise UserError(f"data.label_noise={rate} is not a rate; choose a number from 0 to 1")
    order = torch.randperm(len(y), generator=generator)
    shift = torch.randint(1, num_classes, (len(y),), generator=generator)
    wrong = order[: round(rate * len(y))]
    noisy = y.clone()
    noisy[wrong] = (y + shift)[wrong] % num_classes
    return noisy
