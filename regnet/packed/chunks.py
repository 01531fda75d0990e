"""How many networks of a pack are computed in one call."""

import torch


class Chunks:
    """The number that is fastest, found by the clock in the first steps of training.

    A pack holds as many runs as memory allows; one call may take fewer. On a CPU what a call works on should stay
    in the cache: sizes around that are tried, a few real steps each, as the results are the same to rounding. A
    size's first step, in which its computation is recorded, does not count. Where the whole training is too short
    to be worth a trial, the first guess stands. A GPU takes all that fit.

    Args:
        runs: in the pack.
        each: bytes that one run's step works on.
        steps: that are to come.
    """

    CACHE = 8 * 2**20  # bytes, of a core's share of L2 and L3
    STEPS = 3  # with each size
    WORTH = 0.03  # of the training's time that one trial may cost

    def __init__(self, runs: int, each: int, steps: int, device: torch.device) -> None:
        self.runs, self.steps = runs, steps
        self.size = self._sized(self.CACHE // max(each, 1)) if device.type == "cpu" else runs
        self.times: dict[int, list[float]] = {}
        self.settled = device.type != "cpu"

    def took(self, seconds: float) -> None:
        """Takes note of what a step with the present size took, and decides on the next one."""
        if self.settled:
            return
        times = self.times.setdefault(self.size, [])
        times.append(seconds)
        if len(times) <= self.STEPS:
            return
        first, step = times[0], min(times[1:])
        best = min(self.times, key=lambda size: min(self.times[size][1:]))
        left = [size for size in (self._sized(best // 2), self._sized(best * 2)) if size not in self.times]
        self.size = best
        self.settled = not left or first - step > self.WORTH * self.steps * step
        if not self.settled:
            self.size = left[0]

    def _sized(self, size: int) -> int:
        """The power of two below, if there are so many."""
        return min(self.runs, 2 ** max(0, size.bit_length() - 1))
