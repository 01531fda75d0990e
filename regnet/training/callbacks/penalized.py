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
from ..replay import Replay, silent

INGREDIENTS = {"x", "y", "logits", "loss", "activations"}


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
        return INGREDIENTS & {*inspect.signature(self.penalty.forward).parameters}

    def __call__(self, found: dict[str, Any]) -> Tensor:
        """Its value. Raises ValueError where it takes an ingredient that it does not name."""
        try:
            return self.penalty(self.network, **found)
        except KeyError as error:
            if error.args[0] not in INGREDIENTS - found.keys():
                raise
            (name,) = error.args
            raise ValueError(
                f"{self.name} needs {name}: name it among the parameters of its forward, such as "
                f"forward(self, network, {name}, **_), so that it is looked for"
            ) from error


class Changing(NamedTuple):
    """A batch transform, and the part of the module whose network it sees."""

    transform: BatchTransform
    network: nn.Module


class StepObjective:
    """The objective of a training_step, as a transform sees it (`SeenObjective`)."""

    def __init__(self, step: "PenalizedStep", changing: Changing, arguments: tuple[Any, ...], named: dict[str, Any]):
        self.step, self.name, self.network = step, type(changing.transform).__name__, changing.network
        self.arguments, self.named = arguments, named

    def __call__(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        with silent(self.step.module):
            _, terms = self.step.evaluate((x, y), *self.arguments, **self.named)
        if terms is None:
            raise ValueError(f"{self.name} needs the loss of each batch, and the training_step gave none")
        return terms


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
        transforms: Sequence[Changing],
        replay: Replay,
    ) -> None:
        functools.update_wrapper(self, original)
        self.module, self.original, self.replay = module, original, replay
        self.penalties, self.transforms = penalties, transforms
        self.needs = Needs.of(placed.penalty for placed in penalties)
        kinds = [placed.name for placed in penalties]
        self.names = [f"{kind}_{i}" if kinds.count(kind) > 1 else kind for i, kind in enumerate(kinds)]
        self.of_pairs = [type(changing.transform).__name__ for changing in transforms]
        self.of_pairs += [placed.name for placed in penalties if placed.takes_batch]

    def __call__(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        self.replay.keep(batch, *args, **kwargs)
        if self.of_pairs:
            batch = self._pair(batch)
        for changing in self.transforms:
            x, y = batch
            batch = changing.transform(x, y, StepObjective(self, changing, args, kwargs))
        output, terms = self.evaluate(batch, *args, **kwargs)
        if not self.penalties or terms is None:
            return output
        self._log(terms)
        loss, *penalties = terms.values()
        loss = loss + sum(penalties)
        return {**output, "loss": loss} if isinstance(output, dict) else loss

    def evaluate(self, batch: Any, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Tensor] | None]:
        """What the training_step gives, and its loss and penalties by name; None where it leaves the batch out."""
        found: dict[str, Any] = {}
        if self.of_pairs:
            x, y = self._prepared(batch)
            batch, found = (self.needs.inputs(x), y), {"x": x, "y": y}
        with ExitStack() as stack:
            activations = [stack.enter_context(penalty.recording(network)) for penalty, network in self.penalties]
            of_logits = {p.network for p in self.penalties if "logits" in p.ingredients}
            outputs = {id(network): stack.enter_context(_outputs(network)) for network in of_logits}
            output = self.original(batch, *args, **kwargs)
        loss = output.get("loss") if isinstance(output, dict) else output
        if loss is None:
            return output, None
        terms = {"loss": loss}
        for name, placed, recorded in zip(self.names, self.penalties, activations, strict=True):
            own = found | {"loss": loss, "activations": recorded}
            if "logits" in placed.ingredients:
                own["logits"] = _logits(placed, outputs[id(placed.network)])
            terms[f"penalty/{name}"] = placed(own)
        return output, terms

    def _pair(self, batch: Any) -> tuple[Tensor, Tensor]:
        pair = isinstance(batch, tuple | list) and len(batch) == 2
        if not pair or not all(isinstance(part, Tensor) for part in batch):
            found = f"{len(batch)} parts: " + ", ".join(type(part).__name__ for part in batch) if pair else _kind(batch)
            raise ValueError(f"{self.of_pairs[0]} needs batches (x, y) of two tensors, and the batches are {found}")
        return tuple(batch)

    def _prepared(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if self.needs.of_inputs and not batch[0].is_floating_point():
            name = next(placed.name for placed in self.penalties if placed.penalty.of_inputs)
            raise ValueError(f"{name} differentiates by the inputs, which are whole numbers here ({batch[0].dtype})")
        return self.needs.batch(*batch)

    def _log(self, terms: dict[str, Tensor]) -> None:
        every = self.module.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and self.module.trainer.global_step % every == 0:
            self.module.log_dict({f"train/{name}": term.detach() for name, term in terms.items() if name != "loss"})


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
