"""The batch transforms of K runs, each with its own numbers and its own noise."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from ..core.keyed import mixed
from ..training.module import RegularizedModule
from ..training.trace import takes_no_decisions
from .noise import Given, Noise

log = logging.getLogger(__name__)


class Transforms:
    """(x, y) ─► the batch of every run, (K, B, ...) each.

    On a CPU one run after the other draws from its own stream, bitwise as alone. On a GPU, where each operation of
    each run would be a launch, all are transformed at once under `vmap`, and draw from their keys. Transforms that
    `vmap` cannot take, as they decide by a tensor's value or see the objective, run one after the other there too, and
    so do a stranger's, which might draw from Python's `random`.

    Args:
        modules: of the runs. Where they are computed at once, their transforms' buffers become views of stacked ones.
    """

    def __init__(self, modules: Sequence[RegularizedModule], device: torch.device) -> None:
        self.modules = list(modules)
        self.at_once = device.type != "cpu" and takes_no_decisions(self.modules[0].transforms)
        self.tried = False
        self.buffers = [
            {
                name: torch.stack([dict(one.transforms[i].named_buffers())[name] for one in self.modules])
                for name, _ in transform.named_buffers()
            }
            for i, transform in enumerate(self.modules[0].transforms)
        ]
        self._link()

    def keep(self, index: Tensor) -> None:
        self.modules = [self.modules[k] for k in index.tolist()]
        self.buffers = [{name: t[index.to(t.device)] for name, t in own.items()} for own in self.buffers]
        self._link()

    def __call__(self, rows: slice, x: Tensor, y: Tensor, noise: Noise, stacked: bool) -> tuple[Tensor, Tensor]:
        """For the runs of `rows`; x and y are (B, ...) for all of them, or (K, B, ...) if `stacked`."""
        if self.at_once and self.tried:
            return self._at_once(rows, x, y, noise, stacked)
        if self.at_once:
            self.tried = True
            try:
                return self._at_once(rows, x, y, noise, stacked)
            except torch.OutOfMemoryError:
                raise
            except Exception:
                log.debug("these transforms cannot be computed at once", exc_info=True)
                self.at_once = False
        return self._in_turn(rows, x, y, noise, stacked)

    def _at_once(self, rows: slice, x: Tensor, y: Tensor, noise: Noise, stacked: bool) -> tuple[Tensor, Tensor]:
        transforms = self.modules[0].transforms

        def transformed(buffers: list[dict[str, Tensor]], x: Tensor, y: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
            with Given((key,)):
                for transform, own in zip(transforms, buffers, strict=True):
                    x, y = functional_call(transform, own, (x, y))
            return x, y

        own = [{name: tensor[rows] for name, tensor in buffers.items()} for buffers in self.buffers]
        batch = 0 if stacked else None
        # a key of its own, as the step itself draws from the other
        return vmap(transformed, (0, batch, batch, 0), randomness="error")(own, x, y, mixed(noise.keys[rows]))

    def _in_turn(self, rows: slice, x: Tensor, y: Tensor, noise: Noise, stacked: bool) -> tuple[Tensor, Tensor]:
        xs, ys = [], []
        for i, k in enumerate(range(rows.start, rows.stop)):
            new_x, new_y = (x[i], y[i]) if stacked else (x, y)
            with noise.of(k):
                for transform in self.modules[k].transforms:
                    new_x, new_y = transform(new_x, new_y, self.modules[k].objective)
            xs.append(new_x)
            ys.append(new_y)
        return torch.stack(xs), torch.stack(ys)

    def _link(self) -> None:
        if not self.at_once:
            return
        for k, module in enumerate(self.modules):
            for transform, buffers in zip(module.transforms, self.buffers, strict=True):
                for name, buffer in transform.named_buffers():
                    buffer.data = buffers[name][k]
