"""The penalties of structure in NumPy, by loops where that is the plainest way to say it."""

import numpy as np
from torch import nn

Blocks = list[np.ndarray]  # of each group of each weight, (out, in, k)


def blocks(weights) -> Blocks:
    """What connects outputs and inputs, read off the layers' documentation."""
    found = []
    for weight in weights:
        w, module = weight.tensor.detach().double().numpy(), weight.module
        if isinstance(module, nn.ConvTranspose2d):  # (in, out / groups, k, k)
            parts = [part.swapaxes(0, 1) for part in np.split(w, module.groups, axis=0)]
        elif isinstance(module, nn.Conv2d):  # (out, in / groups, k, k)
            parts = np.split(w, module.groups, axis=0)
        else:
            parts = [w]
        found += [part.reshape(*part.shape[:2], -1) for part in parts]
    return found


def entries(of):
    """Σ of a function of single weights."""
    return lambda found: sum(of(w).sum() for w in found)


def group_lasso(axis):
    """Groups: all weights with the same index along `axis` (0 out, 1 in)."""

    def value(found):
        groups = [group for w in found for group in np.moveaxis(w, axis, 0)]
        return sum(np.sqrt(group.size) * np.sqrt((group**2).sum()) for group in groups)

    return value


def fibers(found):
    return sum(np.sqrt(len(w)) * np.linalg.norm(w[:, i, k]) for w in found for i, k in np.ndindex(w.shape[1:]))


def sparse_group_lasso(found):
    return 0.25 * entries(np.abs)(found) + 0.75 * group_lasso(0)(found)


def matrices(of):
    return lambda found: sum(of(w.reshape(len(w), -1)) for w in found)


def gram(w):
    a, b = w @ w.T - np.eye(len(w)), w.T @ w - np.eye(w.shape[1])
    return min((a**2).sum(), (b**2).sum())


def keras_orthogonal(w):
    """Keras's `OrthogonalRegularizer(1.0, mode="rows")`."""
    size = len(w)
    rows = w / np.sqrt(np.maximum((w**2).sum(1, keepdims=True), 1e-12))
    product = rows @ rows.T * (1 - np.eye(size))
    return 0.5 * np.abs(product).sum() / (size * (size - 1) / 2)


def largest_singular(w):
    return np.linalg.svd(w, compute_uv=False)[0] ** 2


def all_singular(w):
    return np.linalg.svd(w, compute_uv=False).sum()


def hoyer_square(found_by_weight):
    return sum(np.abs(w).sum() ** 2 / (w**2).sum() if w.any() else 0 for w in found_by_weight)


def kl_sparsity(activations, rho=0.25):
    total = 0
    for h in activations:  # (B, units, ...)
        for j in range(h.shape[1]):
            mean = np.clip(np.tanh(h[:, j]).mean(), 1e-6, 1 - 1e-6)
            total += rho * np.log(rho / mean) + (1 - rho) * np.log((1 - rho) / (1 - mean))
    return total


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def negative_entropy(z):
    p = softmax(z)
    return (p * np.log(p)).sum(1).mean()


def symmetric_kl(z):
    p, q = np.split(softmax(z), 2)
    one, other = (p * np.log(p / q)).sum(1), (q * np.log(q / p)).sum(1)
    return ((one + other) / 2).mean()
