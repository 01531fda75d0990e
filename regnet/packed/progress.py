"""How far the packs are, in one line."""

import time
from collections.abc import Callable

from ..core.progress import ProgressLine, time_left


class PackProgress:
    """Counts epochs and runs of a study's packs.

    Args:
        runs: that are trained.
        epochs: of all of them together.
        say: prints a line of text.
    """

    def __init__(self, runs: int, epochs: int, say: Callable[[str], None]) -> None:
        self.runs, self.epochs = runs, epochs
        self.done = self.ended = self.begun = 0
        self.started = time.monotonic()
        self.line = ProgressLine(lambda text: say(f"packed: {text}"))

    def __enter__(self) -> "PackProgress":
        self.line.start("packed", self.epochs)
        return self

    def __exit__(self, *_: object) -> None:
        self.line.stop()

    def trained(self, epochs: int) -> None:
        if not self.done:  # what is left is judged from here on, as the start took a time of its own
            self.begun, self.started = epochs, time.monotonic()
        self.done += epochs
        self._draw()

    def end(self, epochs_left: int) -> None:
        """A run has ended, with so many of its epochs untrained."""
        self.ended += 1
        self.epochs -= epochs_left
        self._draw()

    def _draw(self) -> None:
        if self.line.due():
            text = f"{self.done} of {self.epochs} epochs, {self.ended} of {self.runs} runs done"
            left = time_left(self.started, self.begun, self.done, self.epochs)
            self.line.show(self.done, "  ".join(filter(None, (text, left))), self.epochs)
