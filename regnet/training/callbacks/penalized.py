"""A training_step of somebody else's LightningModule, with penalties and batch transforms around it."""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from lightning import LightningModule
from torch import Tensor, nn

from ...regularizers import BatchTransform, Penalty
from ..objective import Needs
from ..replay import Replay


class Placed(NamedTuple):
    """A penalty, and the part of the module that it is of."""

    penalty: Penalty
    network: nn.Module

    @property
    def name(self) -> str:
        return type(self.penalty).__name__

    @property
    def takes_batch(self) -> bool:
        return bool(self.ingredients & {"x", "y"} or self.penalty.passes > 1 or self.penalty.of_inputs)

    @property
    def ingredients(self) -> set[str]:
        """The names of those that it takes."""
        return {*inspect.signature(self.penalty.forward).parameters}


class PenalizedStep:
    """``training_step`` whose batch is transformed, and to whose loss the penalties are added.

    They get what `Objective` gives them: x and y of the batch as the training_step sees it, the
    output of their network in it as logits, its loss, and the activations meanwhile.

    Args:
        module: logs the penalties.
        original: its training_step.
        replay: is told of every batch.
    """

    def __init__(
        self,
        module: LightningModule,
        original: Callable[..., Any],
        penalties: Sequence[Placed],
        transforms: Sequence[BatchTransform],
        replay: Replay,
    ) -> None:
        functools.update_wrapper(self, original)
        self.module, self.original, self.replay = module, original, replay
        self.penalties, self.transforms = penalties, transforms
        self.needs = Needs.of(placed.penalty for placed in penalties)
        kinds = [placed.name for placed in penalties]
        self.names = [f"{kind}_{i}" if kinds.count(kind) > 1 else kind for i, kind in enumerate(kinds)]
        self.of_pairs = [type(transform).__name__ for transform in transforms]
        self.of_pairs += [placed.name for placed in penalties if placed.takes_batch]
        self.of_logits = [placed for placed in penalties if "logits" in placed.ingredients]

    def __call__(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        self.replay.keep(batch, *args, **kwargs)
        x = y = None
        if self.of_pairs:
            x, y = self._prepared(batch)
            batch = self.needs.inputs(x), y
        with ExitStack() as stack:
            activations = [stack.enter_context(penalty.recording(network)) for penalty, network in self.penalties]
            outputs = {id(net): stack.enter_context(_outputs(net)) for net in {p.network for p in self.of_logits}}
            output = self.original(batch, *args, **kwargs)
        loss = output.get("loss") if isinstance(output, dict) else output
        if not self.penalties or loss is None:  # which tells Lightning to leave the batch out
            return output
        logits = {id(p.penalty): _logits(p, outputs[id(p.network)]) for p in self.of_logits}
        terms = [
            penalty(network, x=x, y=y, logits=logits.get(id(penalty)), loss=loss, activations=recorded)
            for (penalty, network), recorded in zip(self.penalties, activations, strict=True)
        ]
        self._log(terms)
        loss = loss + sum(terms)
        return {**output, "loss": loss} if isinstance(output, dict) else loss

    def _prepared(self, batch: Any) -> tuple[Tensor, Tensor]:
        pair = isinstance(batch, tuple | list) and len(batch) == 2
        if not pair or not all(isinstance(part, Tensor) for part in batch):
            found = f"{len(batch)} parts: " + ", ".join(type(part).__name__ for part in batch) if pair else _kind(batch)
            raise ValueError(f"{self.of_pairs[0]} needs batches (x, y) of two tensors, and the batches are {found}")
        for transform in self.transforms:
            batch = transform(*batch)
        if self.needs.of_inputs and not batch[0].is_floating_point():
            name = next(placed.name for placed in self.penalties if placed.penalty.of_inputs)
            raise ValueError(f"{name} differentiates by the inputs, which are whole numbers here ({batch[0].dtype})")
        return self.needs.batch(*batch)

    def _log(self, terms: Sequence[Tensor]) -> None:
        trainer = self.module.trainer
        if trainer.log_every_n_steps and trainer.global_step % trainer.log_every_n_steps == 0:
            values = {f"train/penalty/{name}": term.detach() for name, term in zip(self.names, terms, strict=True)}
            self.module.log_dict(values)


@contextmanager
def _outputs(network: nn.Module) -> Iterator[list[Any]]:
    """What the network puts out meanwhile, call by call."""
    outputs: list[Any] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        # what comes next may change it in place
        outputs.append(output.clone() if isinstance(output, Tensor) else output)

    handle = network.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def _logits(placed: Placed, outputs: list[Any]) -> Tensor:
    """The output of the one call of its network in a training_step."""
    if len(outputs) == 1 and isinstance(outputs[0], Tensor) and outputs[0].ndim == 2:
        return outputs[0]
    network = type(placed.network).__name__
    found = f"its output is {_kind(outputs[0])}" if len(outputs) == 1 else f"there are {len(outputs)} calls"
    raise ValueError(
        f"{placed.name} needs the logits (B, C) that one call of {network} gives in the training_step, and {found}; "
        "name the part of the module that gives them, such as Regularize(..., network='head')"
    )


def _kind(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
