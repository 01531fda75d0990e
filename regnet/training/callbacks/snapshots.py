"""Snapshot ensembles: several networks out of one training."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor, nn
from torch.func import functional_call

from ...core import values
from ...core.errors import UserError
from ...core.exact import settings, wide
from .learning_rate import set_learning_rate
from .others import FromStart, Moment, callbacks_of


class NetworkCallback(FromStart, Callback):
    """A callback of a regularizer that may put the network into another one, before it is trained."""

    def wrap(self, network: nn.Sequential) -> nn.Sequential:
        """The network that is to be trained in place of `network`, which has its layers by then; itself by default."""
        return network


class Ensemble(nn.Sequential):
    """A network that in evaluation gives the mean of its snapshots: log (1/M) Σ_m softmax f(x; w_m).

    Of a regression the mean of the outputs. In training, and while there are no snapshots, it is the network itself,
    under the same names. Snapshots are buffers (M, ...), M so far, named by what they are of with ``/`` for dots;
    of weights and running statistics, not of regnet's own settings.

    Args:
        network: a Sequential.
        classes: whether its outputs are logits.
    """

    def __init__(self, network: nn.Sequential, classes: bool = True) -> None:
        super().__init__(OrderedDict(network.named_children()))
        self.classes = classes
        own = settings(network)
        self.names = [n for n, _ in (*network.named_parameters(), *network.named_buffers()) if n not in own]
        for name in self.names:
            self.register_buffer(name.replace(".", "/"), torch.empty(0))
        self.single = (network,)  # in a tuple, so that nn.Module does not register it a second time

    @property
    def snapshots(self) -> dict[str, Tensor]:
        """(M, ...) of each parameter and buffer."""
        return {name: self.get_buffer(name.replace(".", "/")) for name in self.names}

    @property
    def growing(self) -> list[str]:
        """The names of the buffers that snapshots are kept in."""
        return [name.replace(".", "/") for name in self.names]

    @property
    def size(self) -> int:
        """M."""
        return len(self.snapshots[self.names[0]])

    @torch.no_grad()
    def take(self) -> None:
        """One more snapshot: the network as it is now."""
        (network,) = self.single
        now = dict(network.named_parameters()) | dict(network.named_buffers())
        for name, before in self.snapshots.items():
            new = now[name].detach()[None]
            setattr(self, name.replace(".", "/"), torch.cat([before, new]) if len(before) else new.clone())

    def forward(self, x: Tensor) -> Tensor:
        (network,) = self.single
        if self.training or not self.size:
            return network(x)
        each = zip(*self.snapshots.values(), strict=True)
        states = (dict(zip(self.names, one, strict=True)) for one in each)
        outputs = wide(torch.stack([functional_call(network, state, x.clone()) for state in states]))
        if not self.classes:
            return outputs.mean(0)
        return outputs.log_softmax(-1).logsumexp(0) - math.log(self.size)  # (M, B, C) to (B, C)

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *arguments: Any) -> None:
        for name, now in self.snapshots.items():  # a checkpoint has as many as were taken by then
            key = name.replace(".", "/")
            if prefix + key in state:
                kept = state[prefix + key]
                setattr(self, key, torch.empty(kept.shape, dtype=kept.dtype, device=now.device))
        super()._load_from_state_dict(state, prefix, *arguments)


class Snapshots(NetworkCallback):
    """α(t) = α₀/2 (cos(π (t mod c)/c) + 1), c = ⌈T/M⌉; at each cycle's end a snapshot (Huang et al. 2017, eq. 2).

    α₀ is the optimizer's own learning rate, t counts its steps and T is their number. Validation and checkpoints are
    those of the ensemble of all snapshots so far, once there is one. Only the whole ensemble can be chosen.

    In other code: ``network = snapshots.wrap(network)`` of a Sequential, before the module is made.

    Args:
        cycles: M >= 1.
        num_classes: None for a regression.

    Raises:
        UserError: when training starts without an end, or with a schedule or average of somebody else.
    """

    def __init__(self, cycles: int = 5, num_classes: int | None = None) -> None:
        self.cycles, self.num_classes = values.whole(cycles, "cycles"), num_classes
        self.rates: list[float] = []  # α₀ of each group

    def wrap(self, network: nn.Sequential) -> Ensemble:
        self.ensemble = Ensemble(network, self.num_classes is not None)
        return self.ensemble

    def begun(self, trainer: Trainer | Moment) -> bool:
        return self.ensemble.size == self.cycles

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.lr_scheduler_configs:
            raise UserError("regularizer=snapshots sets the learning rate itself: choose scheduler=constant")
        if other := next(iter(callbacks_of(trainer, WeightAveraging)), None):
            raise UserError(f"snapshots cannot be taken of the average that {type(other).__name__} makes: choose one")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.plan(trainer.estimated_stepping_batches, trainer.optimizers[0].param_groups)

    def plan(self, steps: float, groups: Sequence[dict[str, Any]]) -> None:
        if steps == math.inf:
            raise UserError("regularizer=snapshots needs the end of training: set trainer.max_epochs")
        self.steps, self.period = steps, math.ceil(steps / self.cycles)
        self.rates = self.rates or [float(group["lr"]) for group in groups]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.set_rates(trainer, trainer.optimizers[0].param_groups)

    def set_rates(self, trainer: Trainer | Moment, groups: Sequence[dict[str, Any]]) -> None:
        part = trainer.global_step % self.period / self.period
        for group, rate in zip(groups, self.rates, strict=True):
            set_learning_rate(group, rate / 2 * (math.cos(math.pi * part) + 1))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.due(trainer):
            self.ensemble.take()

    def due(self, trainer: Trainer | Moment) -> bool:
        """Whether the step that was just made ends a cycle of which there is no snapshot yet."""
        ended, rest = divmod(trainer.global_step, self.period)
        return ended + (rest > 0 and trainer.global_step == self.steps) > self.ensemble.size

    def state_dict(self) -> dict[str, Any]:
        return {"rates": self.rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rates = state_dict["rates"]
