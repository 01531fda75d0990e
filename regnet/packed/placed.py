"""A pack's data on its device."""

import torch
from torch import Tensor

from ..core.devices import sent
from ..data.loader import fits
from ..data.samples import Samples


class Placed:
    """Sends each tensor of data once, as far as the device has room; the rest stays where it is.

    A training set that is the beginning of another is a tensor of its own.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._placed: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # with each the tensor whose place is its name

    def __call__(self, tensor: Tensor) -> Tensor:
        if tensor.device == self.device:
            return tensor
        name = tensor.data_ptr(), len(tensor)
        if name not in self._placed:
            there = sent(tensor, self.device) if fits(tensor.nbytes, self.device) else tensor
            self._placed[name] = tensor, there
        return self._placed[name][1]

    def samples(self, samples: Samples) -> Samples:
        """All of them, or none: loaders give their batches where the samples are."""
        x, y = self(samples.tensor), self(samples.y)
        return Samples(x, y) if x.device == y.device else samples
