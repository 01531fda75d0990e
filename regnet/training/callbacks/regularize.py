"""regnet's regularizers in a LightningModule of somebody else, which stays as it is."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ...core.weights import scaled, weights
from ...regularizers import SAM, BatchTransform, Penalty, Update
from ..replay import Replay
from .others import callbacks_of
from .penalized import Changing, PenalizedStep, Placed


class Regularize(Callback):
    """Adds penalties to the loss of any LightningModule, transforms its batches, attaches updates to its optimizers.

    ``Trainer(callbacks=[Regularize(L2(1e-4), MaxNorm(3.0), Mixup(0.2, num_classes=10))])`` around a module
    whose ``training_step`` returns a loss, or a dict with one. Each penalty is logged as ``train/penalty/<class>``
    where Lightning logs. Layers belong into the network and callbacks to the Trainer.

    Transforms, and penalties of x, y, logits or two passes, take batches (x, y) of two tensors; penalties of logits
    take the output of the one call of the network in the training_step: ``self(x)``, or that of the part named
    `network`. Under R-Drop the training_step sees each batch twice, one behind the other. Penalties of the loss take it
    for a mean over the batch. SAM evaluates all accumulated batches again, in any precision; what the training_step
    counts or logs by other ways than `log` is counted twice then.

    A transform that sees the objective, such as an attack, gets that of the training_step, which runs once more for
    each of its calls; what it logs by `log` then is dropped.

    Several of them act as one, each on its own part of the module; they may be of the same kinds. In a checkpoint each
    has a place of its own, with what its regularizers count and remember; their numbers stay those given now.

    Args:
        regularizers: penalties, updates (constraints, decay) and batch transforms, in any order.
        network: the part of the module that is meant, such as ``"encoder"``: whose weights, activations and outputs
            they act on, and whose gradients are clipped or given noise; all of it by default.

    Raises:
        TypeError: something that is neither penalty, update nor batch transform.
        ValueError: no such `network`; penalties, SAM or a transform that sees the objective for a module under manual
            optimization; several SAMs; a penalty that does not find what it needs; Lookahead or GradientNoise on what
            several optimizers move.
    """

    def __init__(self, *regularizers: Penalty | Update | BatchTransform, network: str | None = None) -> None:
        for regularizer in regularizers:
            if not isinstance(regularizer, Penalty | Update | BatchTransform):
                raise TypeError(f"{type(regularizer).__name__} is neither penalty, update nor batch transform")
        self.regularizers = nn.ModuleList(regularizers)
        _only_sam([self])
        self.network = network
        self.undo: list[Callable[[], None]] = []

    def of_kind(self, kind: type) -> list[Any]:
        return [regularizer for regularizer in self.regularizers if isinstance(regularizer, kind)]

    def part(self, pl_module: LightningModule) -> nn.Module:
        try:
            return pl_module.get_submodule(self.network or "")
        except AttributeError as error:
            raise ValueError(f"Regularize(..., network={self.network!r}): {error}") from error

    def check(self, pl_module: LightningModule) -> None:
        """Raises ValueError for a regularizer of weights that finds none."""
        part = self.part(pl_module)
        if any(map(is_lazy, part.parameters())):  # whose weights are there after the first batch
            return
        for regularizer in self.regularizers:
            if isinstance(regularizer, Penalty | Update) and regularizer.on_weights:
                with _named(regularizer):
                    found = weights(part, regularizer.select, frozen=True)
                    scaled(found, regularizer.scale)
                    if not found:
                        raise ValueError(f"there is nothing to act on, as {type(part).__name__} has no weights")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":  # before a checkpoint is loaded, which may know what follows
            part = self.part(pl_module)
            for regularizer in [*self.of_kind(Penalty), *self.of_kind(Update)]:
                with _named(regularizer):
                    regularizer.begin(part)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.regularizers.to(pl_module.device)
        self.check(pl_module)
        every = callbacks_of(trainer, Regularize)
        if self is not every[-1]:  # the last one acts for all
            return
        sharpness = _only_sam(every)
        if not pl_module.automatic_optimization:
            for one in [part for callback in every for part in callback.of_kind(Penalty)]:
                raise ValueError(
                    f"{type(one).__name__} needs automatic optimization: else add it to your loss yourself"
                )
            if sharpness:
                raise ValueError(f"{type(sharpness).__name__} needs automatic optimization, to go around its closure")
            for one in [part for callback in every for part in callback.of_kind(BatchTransform)]:
                if one.of_objective:
                    raise ValueError(
                        f"{type(one).__name__} needs automatic optimization: it asks the training_step for losses"
                    )
        if sharpness:
            sharpness.check(pl_module)
        updates = [(update, one.part(pl_module)) for one in every for update in one.of_kind(Update)]
        updates.sort(key=lambda placed: placed[0].stage)
        for update, part in updates:
            moving = [one for one in trainer.optimizers if _moves(one, part)] or trainer.optimizers
            if update.counts and len(moving) > 1:
                raise ValueError(
                    f"{type(update).__name__} counts the steps of one optimizer, and {len(moving)} move its weights; "
                    "name the part of the module that one of them moves, such as Regularize(..., network='generator')"
                )
            self.undo += [update.attach(one, part).remove for one in moving if update is not sharpness]
        transforms = [Changing(t, one.part(pl_module)) for one in every for t in one.of_kind(BatchTransform)]
        transforms.sort(key=lambda changing: changing.transform.stage)
        penalties = [Placed(penalty, one.part(pl_module)) for one in every for penalty in one.of_kind(Penalty)]
        replay, step = Replay(pl_module, sharpness), pl_module.optimizer_step

        @functools.wraps(step)
        def optimizer_step(epoch: int, batch_idx: int, optimizer: Any, closure: Any = None) -> None:
            step(epoch, batch_idx, optimizer, replay.around(closure, optimizer))

        training_step = PenalizedStep(pl_module, pl_module.training_step, penalties, transforms, replay)
        for name, method in {"training_step": training_step, "optimizer_step": optimizer_step}.items():
            setattr(pl_module, name, method)
            self.undo.append(functools.partial(delattr, pl_module, name))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # not by state_dict, for which Lightning wants every callback to have a key of its own
        checkpoint.setdefault("regularize", {})[self._place(trainer)] = self.regularizers.state_dict()

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Counters, slow weights and starting points; strengths and other numbers stay those given now."""
        saved = checkpoint.get("regularize", {}).get(self._place(trainer))
        if saved is None:
            return
        given = {
            f"{i}.{name}": value.clone()
            for i, regularizer in enumerate(self.regularizers)
            for name, value in regularizer.named_buffers(recurse=False)
            if value.ndim == 0 and value.is_floating_point()
        }
        self.regularizers.load_state_dict(saved | given)

    def _place(self, trainer: Trainer) -> str:
        """What it is of, and the how manieth of such a kind in the Trainer."""

        def of(one: Regularize) -> str:
            return " ".join([one.network or "", *(type(regularizer).__name__ for regularizer in one.regularizers)])

        alike = [one for one in callbacks_of(trainer, Regularize) if of(one) == of(self)]
        return f"{of(self)} {alike.index(self)}"

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        while self.undo:
            self.undo.pop()()


@contextmanager
def _named(regularizer: nn.Module) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{type(regularizer).__name__}: {error}") from error


def _moves(optimizer: Optimizer, network: nn.Module) -> bool:
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return any(id(parameter) in own for parameter in network.parameters())


def _only_sam(callbacks: list[Regularize]) -> SAM | None:
    """Raises ValueError for more than one."""
    found = [sharpness for callback in callbacks for sharpness in callback.of_kind(SAM)]
    if len(found) > 1:
        raise ValueError("SAM and ASAM are two ways of taking a second gradient: choose one")
    return found[0] if found else None
