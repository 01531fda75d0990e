"""How far the packs are, in one line."""

import time
from collections.abc import Callable

from ..core.console import live_line, plain_console

REDRAW, REPORT = 0.1, 30.0  # seconds between two pictures of the live line, and between two lines in a log file


class PackProgress:
    """One live line in a terminal or a notebook; in a log file, a line of text every so often.

    Args:
        runs: that are trained.
        epochs: of all of them together.
        say: prints a line of text.
    """

    def __init__(self, runs: int, epochs: int, say: Callable[[str], None]) -> None:
        console = plain_console()
        self.live = console.is_terminal or console.is_jupyter
        self.runs, self.epochs, self.say = runs, epochs, say
        self.done = self.ended = self.begun = 0
        self.started = self.drawn = time.monotonic()
        self.bar = live_line(console)
        self.task = self.bar.add_task("packed", total=epochs, text="")

    def __enter__(self) -> "PackProgress":
        if self.live:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.bar.stop()

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
        now = time.monotonic()
        if now - self.drawn < (REDRAW if self.live else REPORT):
            return
        self.drawn = now
        text = f"{self.done} of {self.epochs} epochs, {self.ended} of {self.runs} runs done"
        if self.done > self.begun:
            left = (now - self.started) * (self.epochs - self.done) / (self.done - self.begun)
            text += f"  {max(0, left):.0f} s left"
        if self.live:
            self.bar.update(self.task, completed=self.done, total=self.epochs, text=text)
            self.bar.refresh()
        else:
            self.say(f"packed: {text}")
