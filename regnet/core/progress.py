"""How far something is: one live line in a terminal or a notebook; in a log file, a line of text every so often."""

import time
from collections.abc import Callable
from typing import Any

from .console import live_line, plain_console


class ProgressLine:
    """Is redrawn by the clock and not by what it counts, which it so costs nothing.

    Args:
        say: prints a line of text, where there is no live line.
        redraw: seconds between two pictures of the live line.
        report: seconds between two lines of text.
    """

    def __init__(self, say: Callable[[str], None], redraw: float = 0.1, report: float = 30.0) -> None:
        console = plain_console()
        self.live = console.is_terminal or console.is_jupyter
        self.cell: Any = None  # of a notebook, where rich would need ipywidgets
        self.in_notebook = console.is_jupyter
        self.every = redraw if self.live else report
        self.say, self.bar = say, live_line(console)
        self.task = self.bar.add_task("", total=None, text="")
        self.drawn = 0.0

    def start(self, label: str, total: float | None) -> None:
        self.drawn = time.monotonic()
        self.bar.update(self.task, description=label, total=total)
        if self.in_notebook:
            from IPython.display import display

            self.cell = display({"text/plain": label}, raw=True, display_id=True)
        elif self.live:
            self.bar.start()

    def stop(self) -> None:
        if self.cell:
            self.cell.update({"text/plain": ""}, raw=True)
            self.cell = None
        if self.bar.live.is_started:
            self.bar.stop()

    def due(self) -> bool:
        """Whether it is time for the next picture or line, which is then expected."""
        now = time.monotonic()
        if now - self.drawn < self.every:
            return False
        self.drawn = now
        return True

    def show(self, done: float, text: str, total: float | None = None) -> None:
        if self.cell:
            self.cell.update({"text/plain": f"{self.bar.tasks[0].description}  {text}"}, raw=True)
        elif self.live:
            self.bar.update(self.task, completed=done, total=total, text=text)
            self.bar.refresh()
        else:
            self.say(text)


def time_left(started: float, begun: float, done: float, total: float) -> str:
    """Such as ``12 s left``, by the pace since `started`, when `begun` were done; nothing while there is no pace."""
    if done <= begun:
        return ""
    return f"{max(0, (time.monotonic() - started) / (done - begun) * (total - done)):.0f} s left"
