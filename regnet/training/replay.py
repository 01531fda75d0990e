"""A second gradient of the same batches, under Lightning's Trainer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from lightning import LightningModule
from lightning.pytorch.strategies import ParallelStrategy
from torch.optim import Optimizer

from ..core.seeds import bookmark
from ..regularizers import SAM


@contextmanager
def silent(module: LightningModule) -> Iterator[None]:
    """What the module logs meanwhile is dropped: its training_step has another reason than training."""
    own = vars(module)
    before = own.get("log")
    own["log"] = lambda *_, **__: None
    try:
        yield
    finally:
        if before is None:
            del own["log"]
        else:
            own["log"] = before


class Replay:
    """Evaluates all batches of an optimizer step again for `SAM`, however many were accumulated.

    It goes around the closure that Lightning hands to its precision plugin, which scales the loss and unscales
    the gradients as ever. What the module logs with `log` is that of the first time.

    Args:
        module: calls `keep` in its training_step, and `around` in its optimizer_step.
        sharpness: takes the second gradient; without it nothing is kept.
    """

    def __init__(self, module: LightningModule, sharpness: SAM | None) -> None:
        self.module, self.sharpness = module, sharpness
        self.kept: list[Callable[[], None]] = []  # the batches since the last step
        self.running = False  # whether it is the second time

    def keep(self, *batch: Any) -> None:
        """The arguments of the module's training_step."""
        if self.sharpness and not self.running:
            self.kept.append(partial(self._again, bookmark(self.module.device), *batch))

    def around(self, closure: Callable[[], Any], optimizer: Optimizer) -> Callable[[], Any]:
        return partial(self._twice, self.sharpness, closure, optimizer) if self.sharpness else closure

    def _twice(self, sharpness: SAM, closure: Callable[[], Any], optimizer: Optimizer) -> Any:
        earlier, rewind = list(self.kept), bookmark(self.module.device)  # the last batch is the closure's own

        def again() -> None:
            self.running = True
            try:
                with silent(self.module):
                    for batch in earlier:
                        batch()
                    rewind()
                    closure()
            finally:
                self.running = False

        try:
            return sharpness(closure, again, optimizer, self.module)
        finally:
            self.kept = []

    def _again(self, rewind: Callable[[], None], *batch: Any) -> None:
        """Adds the gradient of a batch that was accumulated, as Lightning's loop did."""
        trainer, optimizer = self.module.trainer, self.module.trainer.optimizers[0]
        strategy = trainer.strategy
        rewind()
        # the processes average their gradients with the last batch
        with strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext():
            output = strategy.training_step(*batch)
            loss = output["loss"] if isinstance(output, Mapping) else output
            if loss is None:  # which leaves the batch out
                return
            strategy.backward(loss / trainer.accumulate_grad_batches, optimizer)
