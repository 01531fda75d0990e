"""What a person reads on the terminal: text that is only text, and log lines that do not run into a progress bar."""

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

JOINERS = "\u200c\u200d"  # join letters in Persian and Hindi; they do not change the direction of text


def printable(text: str) -> str:
    """`text` in one line, in which nothing tells the terminal anything: control characters are written as ``\\x1b``.

    So are those that turn the direction of what follows around, and halves of characters (of file names that are
    not UTF-8).
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char in JOINERS
        else " "
        if char.isspace()
        else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def printable_data(value: Any) -> Any:
    """Plain data, all texts of which are `printable`."""
    if isinstance(value, Mapping):
        return {printable(key): printable_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [printable_data(item) for item in value]
    return printable(value) if isinstance(value, str) else value


class ConsoleHandler(logging.Handler):
    """Writes to what `sys.stdout` is at that moment, errors to `sys.stderr`.

    A live display puts itself in their place while it runs, to print above its bar.
    """

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.ERROR else sys.stdout
        text = "\n".join(map(printable, self.format(record).splitlines()))
        print(text, file=stream, flush=True)


class LogFile(logging.FileHandler):
    """The log of a run, without the lines for which the disk has no room: its other files will tell of that."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def plain_console(**settings: Any) -> "Console":
    """A console that prints strings as they are: rich would take `[dropout,l2]` for markup and `:a:` for an emoji."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, **settings)


def live_line(console: "Console") -> "Progress":
    """One line that is redrawn in place: the description, a bar, and the field `text` of its task."""
    from rich.progress import BarColumn, Progress, TextColumn

    # A column does not ask the console whether its text is markup.
    description, text = (TextColumn(f"{{task.{part}}}", markup=False) for part in ("description", "fields[text]"))
    return Progress(description, BarColumn(24), text, console=console, auto_refresh=False, transient=True)
