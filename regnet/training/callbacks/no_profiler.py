"""What Lightning's own bookkeeping costs a tiny step."""

from contextlib import AbstractContextManager, nullcontext

from lightning.pytorch.profilers import PassThroughProfiler

NOTHING = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Measures nothing, at no cost.

    Lightning's `PassThroughProfiler` does so by a generator for every hook of every callback, some 85 in a
    training step: a tenth of the step of a small network.
    """

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]  # no generator
        return NOTHING
