"""The scheduled settings of all runs of a pack, set together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.devices import sent


class Moving:
    """Numbers that are 0-d views of stacked tensors: a write for each stacked tensor, not for each number.

    On a GPU a write of its own for each setting of each run would take longer than the step.

    Args:
        buffers: 0-d, all on one device.
    """

    def __init__(self, buffers: Sequence[Tensor]) -> None:
        places: dict[int, list[int]] = {}  # of the memory that they are in
        for i, buffer in enumerate(buffers):
            places.setdefault(buffer.untyped_storage().data_ptr(), []).append(i)
        self.order = [i for same in places.values() for i in same]
        self.parts = [self._part([buffers[i] for i in same]) for same in places.values()]

    @staticmethod
    def _part(buffers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """All of the memory as one tensor, and where in it the buffers are."""
        first = buffers[0]
        size = first.untyped_storage().nbytes() // first.element_size()
        whole = first.detach().as_strided((size,), (1,), 0)
        return whole, sent(torch.tensor([buffer.storage_offset() for buffer in buffers]), first.device)

    def set(self, values: Sequence[float]) -> None:
        """One value for each buffer."""
        if not self.parts:
            return
        device = self.parts[0][0].device
        dtype = torch.float32 if device.type == "mps" else torch.float64  # which Apple's GPUs do not have
        ordered = sent(torch.tensor([values[i] for i in self.order], dtype=dtype), device)
        for (memory, places), own in zip(self.parts, ordered.split([len(p) for _, p in self.parts]), strict=True):
            memory.index_copy_(0, places, own.to(memory.dtype))
