"""What is typed. Nothing is imported before a signal ends a command as a shell expects."""

from .core.ending import exit_codes


def train() -> None:
    with exit_codes():
        from .commands.train import main

        main()


def evaluate() -> None:
    with exit_codes():
        from .commands.evaluate import main

        main()


def inspect() -> None:
    with exit_codes():
        from .commands.inspect import main

        main()


def report() -> None:
    with exit_codes():
        from .report.command import main

        main()
