"""What is printed on the terminal: texts that are only text, and log lines that do not run into a progress bar."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

JOINERS = "\u200c\u200d"  # of letters in Persian and Hindi: they turn nothing around


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
        print(self.format(record), file=stream, flush=True)
