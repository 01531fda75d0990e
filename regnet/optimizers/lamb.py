"""LAMB: Adam, and a learning rate for each layer."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..core import values
from .layerwise import Layerwise, is_adapted, norm, trust_ratio


class LAMB(Layerwise):
    """Layer-wise adaptive moments (You et al. 2020, algorithm 2), for training in large batches.

    Of each weight w with the gradient g, in step t:

        m ← β₁ m + (1-β₁) g,   v ← β₂ v + (1-β₂) g²
        r = m / (1-β₁ᵗ) / (√(v / (1-β₂ᵗ)) + ε)
        w ← w - η ||w||_2 / ||r + λ w||_2 (r + λ w)

    The ratio is 1 where one of the norms is 0. The paper's φ is the identity, as in its experiments. Biases, norms and
    whatever else has fewer than two axes have neither the ratio nor λ, by the convention of the authors' own code: they
    take a step of `torch.optim.Adam`.

    Args:
        params: parameters, or groups of them with numbers of their own.
        lr: η >= 0: by which share of its norm a weight moves.
        betas: β₁ and β₂ in [0, 1).
        eps: ε > 0.
        weight_decay: λ >= 0, decoupled from the gradient's moments as AdamW's is. As a step has the length η ||w||, it
            turns the step towards 0 and makes it no longer. Of weights only.

    Raises:
        ValueError: a number is out of its range, or a parameter is complex.

    Example:
        >>> import torch
        >>> from regnet.optimizers import LAMB
        >>> layer = torch.nn.Linear(3, 2, bias=False)
        >>> before = layer.weight.detach().clone()
        >>> optimizer = LAMB(layer.parameters(), lr=0.01, weight_decay=0.1)
        >>> layer(torch.ones(4, 3)).square().sum().backward()
        >>> optimizer.step()
        >>> round(((layer.weight - before).norm() / before.norm()).item(), 4)
        0.01
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr if isinstance(lr, Tensor) else values.nonnegative(lr, "lr"),
            "betas": tuple(values.rate(beta, f"betas[{i}]") for i, beta in enumerate(betas)),
            "eps": values.positive(eps, "eps"),
            "weight_decay": values.nonnegative(weight_decay, "weight_decay"),
        }
        super().__init__(params, defaults)

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state["step"] = torch.tensor(0.0)  # on the host, as torch.optim.Adam has it
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        state["step"] += 1
        step, (beta1, beta2) = state["step"].item(), group["betas"]
        m = state["exp_avg"].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        r = (m / (1 - beta1**step)).div_((v / (1 - beta2**step)).sqrt_().add_(group["eps"]))
        rate = group["lr"]
        if is_adapted(p):
            r.add_(p, alpha=group["weight_decay"])
            rate = rate * trust_ratio(norm(p), norm(r))
        p.sub_(r * rate)
