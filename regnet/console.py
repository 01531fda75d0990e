"""Log lines on the terminal that do not run into a progress bar."""

import logging
import sys


class ConsoleHandler(logging.Handler):
    """Writes to what `sys.stdout` is at that moment, errors to `sys.stderr`.

    A live display puts itself in their place while it runs, to print above its bar.
    """

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.ERROR else sys.stdout
        print(self.format(record), file=stream, flush=True)
