"""regnet's regularizers in a LightningModule of somebody else, which stays as it is."""

import functools
from collections.abc import Callable
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from ..regularizers import SAM, BatchTransform, Penalty, Update
from ..replay import Replay


class Regularize(Callback):
    """Adds penalties to the loss of any LightningModule, transforms its batches, attaches updates to its optimizers.

    ``Trainer(callbacks=[Regularize(L2(1e-4), MaxNorm(3.0), Mixup(0.2, num_classes=10))])`` around a module
    whose ``training_step`` takes batches (x, y) and returns a loss, or a dict with one. Each penalty is
    logged as ``train/penalty/<class>`` where Lightning logs. Layers belong into the network and callbacks
    to the Trainer. SAM evaluates all accumulated batches again, in any precision; what the training_step counts
    or logs by other ways than `log` is counted twice then.

    Args:
        regularizers: penalties, updates (constraints, decay) and batch transforms, in any order.
        network: the part of the module whose weights are meant, such as ``"encoder"``; all of it by default.

    Raises:
        TypeError: something that is neither penalty, update nor batch transform.
        ValueError: a module under manual optimization, whose training_step returns no loss; several SAMs.
    """

    def __init__(self, *regularizers: Penalty | Update | BatchTransform, network: str | None = None) -> None:
        for regularizer in regularizers:
            if not isinstance(regularizer, Penalty | Update | BatchTransform):
                raise TypeError(f"{type(regularizer).__name__} is neither penalty, update nor batch transform")
        self.regularizers = nn.ModuleList(regularizers)
        if len(self.of_kind(SAM)) > 1:
            raise ValueError("SAM and ASAM are two ways of taking a second gradient: choose one")
        self.network = network
        self.undo: list[Callable[[], None]] = []

    def of_kind(self, kind: type) -> list[Any]:
        return [regularizer for regularizer in self.regularizers if isinstance(regularizer, kind)]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":  # before a checkpoint is loaded, which may know what follows
            for regularizer in self.regularizers:
                if hasattr(regularizer, "begin"):
                    regularizer.begin(pl_module.get_submodule(self.network or ""))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network = pl_module.get_submodule(self.network or "")
        self.regularizers.to(pl_module.device)
        updates = sorted(self.of_kind(Update), key=lambda update: update.stage)
        sharpness = next(iter(self.of_kind(SAM)), None)
        if sharpness and not pl_module.automatic_optimization:
            raise ValueError(f"{type(sharpness).__name__} needs automatic optimization, as it goes around its closure")
        if sharpness:
            sharpness.check_precision(network)
        replay = Replay(pl_module, sharpness)
        for optimizer in trainer.optimizers:
            self.undo += [update.attach(optimizer, network).remove for update in updates if update is not sharpness]
        transforms = sorted(self.of_kind(BatchTransform), key=lambda transform: transform.stage)
        penalties, original = self.of_kind(Penalty), pl_module.training_step
        kinds = [type(penalty).__name__ for penalty in penalties]
        names = [f"{kind}_{i}" if kinds.count(kind) > 1 else kind for i, kind in enumerate(kinds)]

        @functools.wraps(original)
        def training_step(batch: tuple[Tensor, Tensor], *args: Any, **kwargs: Any) -> Any:
            replay.keep(batch, *args, **kwargs)
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

        step = pl_module.optimizer_step

        @functools.wraps(step)
        def optimizer_step(epoch: int, batch_idx: int, optimizer: Any, closure: Any = None) -> None:
            step(epoch, batch_idx, optimizer, replay.around(closure, optimizer))

        for name, method in {"training_step": training_step, "optimizer_step": optimizer_step}.items():
            setattr(pl_module, name, method)
            self.undo.append(functools.partial(delattr, pl_module, name))

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
