"""Penalties that see more of a weight than its entries: where it started, its groups, its scale."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core import hyperparameters, values
from ...core.exact import at_precision_of
from ...core.parametrized import normalized
from ...core.weights import Select, Weight, weights
from ...run.checkpoints import read_checkpoint
from .weights import SquareSum, WeightPenalty, absolute_sum, total

GROUPS = {"out": (2, 3), "in": (1, 3), "fiber": (1,)}  # the axes of (groups, out, in, k) that one group spans


class L2SP(WeightPenalty):
    """λ Σ (w - w⁰)², towards the starting point w⁰ (Li et al. 2018, "L2-SP").

    No ½, so their α is 2λ. The weights that w⁰ does not know, such as a new head, have w⁰ = 0: their β term, whose
    strength may differ by `scale`. ``begin(network)`` takes the starting point, and must be called before training.

    Args:
        checkpoint: None is the weights that the network has then; else the folder of a run, or a file with a state
            dict of torch, whose weights are found by name and shape.
        strength, select, scale: as of every `WeightPenalty`.
    """

    def __init__(
        self,
        strength: float,
        checkpoint: str | None = None,
        select: Select = None,
        scale: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(strength, select, scale)
        self.checkpoint = checkpoint

    @torch.no_grad()
    def begin(self, network: nn.Module) -> None:
        """Raises ValueError for a checkpoint that cannot be read, or knows none of the weights."""
        found = [weight.effective for weight in weights(network, self.select, frozen=True)]  # which may be unfrozen
        start = {_plain(w.name): w.tensor for w in found} if self.checkpoint is None else _read(Path(self.checkpoint))
        known = [w for w in found if getattr(start.get(_plain(w.name)), "shape", None) == w.tensor.shape]
        if not known:
            raise ValueError(f"checkpoint={self.checkpoint} has none of {', '.join(w.name for w in found)}")
        for w in found:
            self.register_buffer(_buffer(w), torch.zeros_like(w.tensor))
        for w in known:
            getattr(self, _buffer(w)).copy_(start[_plain(w.name)])

    def measure(self, found: list[Weight]) -> Tensor:
        if any(_buffer(w) not in self._buffers for w in found):
            raise RuntimeError("L2SP knows no starting point yet: call its begin(network) before training")
        return SquareSum.apply(*(w.tensor - getattr(self, _buffer(w)) for w in found))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        for key, tensor in state_dict.items():  # a starting point is part of the state
            if key.startswith(f"{prefix}{ANCHOR}") and key.removeprefix(prefix) not in self._buffers:
                self.register_buffer(key.removeprefix(prefix), torch.empty_like(tensor))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class GroupLasso(WeightPenalty):
    """λ Σ_g √|g| ||w_g||_2 over groups of |g| weights (Yuan and Lin 2006, equation 2.1).

    Whole groups become zero. Of a convolution they are those of Wen et al. 2016 (section 3.2).

    Args:
        groups: ``out``: what one unit or filter takes in (rows of a Linear, filters); ``in``: what one input unit or
            channel gives out (columns; channels); ``fiber``: the same at one position of a kernel.
        strength, select, scale: as of every `WeightPenalty`.
    """

    def __init__(
        self,
        strength: float,
        groups: str = "out",
        select: Select = None,
        scale: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(strength, select, scale)
        self.groups = values.one_of(groups, "groups", GROUPS)

    def measure(self, found: list[Weight]) -> Tensor:
        return total(self._norms(w.blocks) for w in found)

    def _norms(self, blocks: Tensor) -> Tensor:  # (groups, out, in, k)
        norms = torch.linalg.vector_norm(blocks, dim=GROUPS[self.groups])
        return (blocks.numel() / norms.numel()) ** 0.5 * norms.sum()


class SparseGroupLasso(GroupLasso):
    """λ (α Σ|w| + (1 - α) Σ_g √|g| ||w_g||_2) (Simon et al. 2013).

    α = `l1_ratio` in [0, 1]: zeros within the groups that stay, as well.
    """

    def __init__(
        self,
        strength: float,
        l1_ratio: float = 0.5,
        groups: str = "out",
        select: Select = None,
        scale: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(strength, groups, select, scale)
        self.register_buffer("l1_ratio", hyperparameters.ratio(l1_ratio, "l1_ratio"))

    def measure(self, found: list[Weight]) -> Tensor:
        absolute, groups = absolute_sum(found), super().measure(found)
        ratio = at_precision_of(groups, self.l1_ratio)
        return ratio * absolute + (1 - ratio) * groups


class Hoyer(WeightPenalty):
    """λ Σ_W (Σ|w|)² / Σ w² over weight tensors (Yang et al. 2020, "Hoyer-Square").

    Between 1 (one entry is not zero) and the number of entries, whatever the scale of W: it makes sparse and does
    not shrink. That of a tensor of zeros is 0.
    """

    def measure(self, found: list[Weight]) -> Tensor:
        return total(absolute_sum([w]).square() / _positive(SquareSum.apply(w.tensor)) for w in found)


def _positive(x: Tensor) -> Tensor:
    return x.clamp(min=torch.finfo(x.dtype).tiny)


ANCHOR = "anchor/"


def _buffer(weight: Weight) -> str:
    return ANCHOR + weight.key.replace(".", "/")


def _plain(name: str) -> str:
    """The name of a weight whoever wraps the network: a Lightning module, regnet's objective, parametrizations."""
    name = re.sub(r"(^|\.)parametrizations\.(\w+)\.original\d*$", r"\1\2", name)
    name = re.sub(r"(^|\.)weight_[vg]$", r"\1weight", name)
    return re.sub(r"^(objective\.network\.)?(model\.|module\.)?", "", name)


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict of a run's folder or of a file."""
    path = path.expanduser()
    if path.is_dir():
        folder = path / "checkpoints"
        path = folder / "best.ckpt" if (folder / "best.ckpt").exists() else folder / "last.ckpt"
    try:
        state = read_checkpoint(path)
    except Exception as error:
        raise ValueError(f"checkpoint={path} cannot be read: {(str(error) or repr(error)).splitlines()[0]}") from error
    state = state.get("state_dict", state)
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    return {_plain(name): tensor for name, tensor in normalized(tensors).items()}  # g comes before v
