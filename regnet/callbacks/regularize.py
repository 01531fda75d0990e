"""regnet's regularizers in a LightningModule of somebody else, which stays as it is."""

import functools
from collections.abc import Callable
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from ..regularizers import BatchTransform, Penalty, Update


class Regularize(Callback):
    """Adds penalties to the loss of any LightningModule, transforms its batches, attaches updates to its optimizers.

    ``Trainer(callbacks=[Regularize(L2(1e-4), MaxNorm(3.0), Mixup(0.2, num_classes=10))])`` around a module
    whose ``training_step`` takes batches (x, y) and returns a loss, or a dict with one. Each penalty is
    logged as ``train/penalty/<class>`` where Lightning logs. Layers belong into the network and callbacks
    to the Trainer.

    Args:
        regularizers: penalties, updates (constraints, decay) and batch transforms, in any order.
        network: the part of the module whose weights are meant, such as ``"encoder"``; all of it by default.

    Raises:
        TypeError: something that is neither penalty, update nor batch transform.
        ValueError: a module under manual optimization, whose training_step returns no loss.
    """

    def __init__(self, *regularizers: Penalty | Update | BatchTransform, network: str | None = None) -> None:
        for regularizer in regularizers:
            if not isinstance(regularizer, Penalty | Update | BatchTransform):
                raise TypeError(f"{type(regularizer).__name__} is neither penalty, update nor batch transform")
        self.regularizers = nn.ModuleList(regularizers)
        self.network = network
        self.undo: list[Callable[[], None]] = []

    def of_kind(self, kind: type) -> list[Any]:
        return [regularizer for regularizer in self.regularizers if isinstance(regularizer, kind)]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network = pl_module.get_submodule(self.network or "")
        self.regularizers.to(pl_module.device)
        for optimizer in trainer.optimizers:
            self.undo += [update.attach(optimizer, network).remove for update in self.of_kind(Update)]
        transforms = sorted(self.of_kind(BatchTransform), key=lambda transform: transform.stage)
        penalties, original = self.of_kind(Penalty), pl_module.training_step
        kinds = [type(penalty).__name__ for penalty in penalties]
        names = [f"{kind}_{i}" if kinds.count(kind) > 1 else kind for i, kind in enumerate(kinds)]

        @functools.wraps(original)
        def training_step(batch: tuple[Tensor, Tensor], *args: Any, **kwargs: Any) -> Any:
            for transform in transforms:
                batch = transform(*batch)
            output = original(batch, *args, **kwargs)
            if not penalties:
                return output
            loss = output["loss"] if isinstance(output, dict) else output
            if loss is None:
                raise ValueError("Regularize needs a training_step that returns its loss")
            terms = [penalty(network) for penalty in penalties]
            if trainer.log_every_n_steps and trainer.global_step % trainer.log_every_n_steps == 0:
                pl_module.log_dict({f"train/penalty/{n}": term.detach() for n, term in zip(names, terms, strict=True)})
            loss = loss + sum(terms)
            return {**output, "loss": loss} if isinstance(output, dict) else loss

        pl_module.training_step = training_step
        self.undo.append(lambda: delattr(pl_module, "training_step"))

    def state_dict(self) -> dict[str, Any]:
        return self.regularizers.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.regularizers.load_state_dict(state_dict)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        while self.undo:
            self.undo.pop()()
