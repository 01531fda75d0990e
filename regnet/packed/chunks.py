"""How many networks of a pack are computed in one call."""

import torch


class Chunks:
    """The number that is fastest, found by the clock in the first steps of training.

    A pack holds as many runs as memory allows; one call may take fewer. On a CPU their weights, gradients and
    optimizer state should stay in its cache, so sizes 1, 2, 4, ... are tried, a few real steps each: the
    results are the same to rounding. A GPU takes all that fit.

    Args:
        runs: in the pack.
        limit: the most that memory allows.
    """

    STEPS = 3  # with each size

    def __init__(self, runs: int, limit: int | None, device: torch.device) -> None:
        most = min(runs, limit or runs)
        self.size = most
        self.times: dict[int, float] = {}
        if device.type == "cpu":
            sizes = sorted({most, *(2**i for i in range(2, most.bit_length()) if 2**i < most)}, reverse=True)
            self._trials = [size for size in sizes for _ in range(self.STEPS)]
        else:
            self._trials = []

    def took(self, seconds: float) -> None:
        """Takes note of what a step with the present size took, and decides on the next one."""
        if not self._trials:
            return
        size = self._trials.pop(0)
        self.times[size] = min(self.times.get(size, seconds), seconds)
        self.size = self._trials[0] if self._trials else min(self.times, key=self.times.__getitem__)
