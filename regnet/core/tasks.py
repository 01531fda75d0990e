"""Tasks: what the data loss and the metrics are, for classes and for real targets."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .exact import Exact, wide


class Classification(nn.Module):
    """Cross-entropy in nats; accuracy, NLL and ECE. Targets: class indices (B,) or probabilities (B, C)."""

    names = ("loss", "accuracy", "nll", "ece")
    ECE_BINS = 15

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:  # (B, C), (B,) or (B, C)
        return F.cross_entropy(wide(logits), y if y.dtype == torch.int64 else y.to(wide(logits).dtype))

    def metrics(self, logits: Tensor, y: Tensor) -> dict[str, float]:
        """`measures` by their names."""
        return dict(zip(self.names, self.measures(logits, y).tolist(), strict=True))

    def measures(self, logits: Tensor, y: Tensor) -> Tensor:  # (N, C), (N,) ─► (4,)
        """loss (that of training), accuracy, nll, ece; all means over N, accuracy of counts in float64.

        ECE = Σ_b |Σ_{i in b} (correct_i - confidence_i)| / N over 15 bins of equal width (Guo et al. 2017).
        """
        log_p = wide(logits).log_softmax(1)
        nll = F.nll_loss(log_p, y)
        confidence, prediction = log_p.exp().max(1)
        correct = (prediction == y).to(log_p.dtype)
        bins = (confidence * self.ECE_BINS).ceil().long().sub(1).clamp(0, self.ECE_BINS - 1)  # (lo, hi]
        in_bin = F.one_hot(bins, self.ECE_BINS).to(log_p.dtype)  # (N, bins)
        ece = (in_bin.T @ (correct - confidence)).abs().sum() / len(y)
        accuracy = correct.sum().cpu().double() / len(y)  # some devices have no double
        nll = nll.cpu().double()
        return torch.stack([nll, accuracy, nll, ece.cpu().double()])


class Regression(Exact):
    """Squared error in units of the training targets' variance; RMSE in the target's own unit, and R².

    Args:
        scale: the standard deviation of the training targets, so that strengths mean the same in any unit.
    """

    scale: Tensor
    names = ("loss", "rmse", "r2")

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(self, prediction: Tensor, y: Tensor) -> Tensor:  # (B, 1), (B,)
        return F.mse_loss(wide(prediction).squeeze(1) / self.scale, y.to(wide(prediction).dtype) / self.scale)

    def metrics(self, prediction: Tensor, y: Tensor) -> dict[str, float]:
        """`measures` by their names."""
        return dict(zip(self.names, self.measures(prediction, y).tolist(), strict=True))

    def measures(self, prediction: Tensor, y: Tensor) -> Tensor:  # (N, 1), (N,) ─► (3,)
        """loss (that of training), rmse = sqrt(mean squared error), r2 = 1 - MSE / Var(y).

        R² of constant targets is that of scikit-learn: 1 of a perfect prediction, else 0.
        """
        prediction, y = prediction.squeeze(1).cpu().double(), y.cpu().double()  # some devices have no double
        mse = F.mse_loss(prediction, y)
        variance = (y - y.mean()).square().mean()
        r2 = torch.where(variance > 0, 1 - mse / variance, (mse == 0).double())
        return torch.stack([mse / self.scale.cpu() ** 2, mse.sqrt(), r2])
