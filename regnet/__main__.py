"""What is typed: `regnet-train` and the like, and `python -m regnet train`.

Nothing is imported before a signal ends a command as a shell expects.
"""

import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from .core.ending import exit_codes

COMMANDS = {  # the module of each, whose `main` it is, and what it does
    "train": ("regnet.commands.train", "trains one run, or with -m a study"),
    "evaluate": ("regnet.commands.evaluate", "measures the chosen checkpoint of a run again"),
    "inspect": ("regnet.commands.inspect", "shows what acts on what, before training"),
    "plan": ("regnet.planning.command", "tells what a study would take, before training"),
    "report": ("regnet.report.command", "makes the report of studies again"),
}


def main() -> None:
    """`python -m regnet COMMAND ...` is `regnet-COMMAND ...`."""
    global __spec__
    name = sys.argv[1] if sys.argv[1:] else "--help"
    if name in ("-h", "--help"):
        with exit_codes():
            _help()
    elif name in COMMANDS:
        sys.argv[:] = [f"regnet-{name}", *sys.argv[2:]]
        __spec__ = find_spec(COMMANDS[name][0])  # by which DDP starts its further processes
        _run(name)
    elif name == "--version":
        _run(name)
    else:
        from .core.errors import near

        sys.exit(f"regnet: {name!r} is no command{near(name, COMMANDS)} (python -m regnet --help shows them)")


def _run(name: str) -> None:
    with exit_codes():
        if "--version" in sys.argv[1:]:
            from . import __version__

            print(f"regnet {__version__}")
        else:
            import_module(COMMANDS[name][0]).main()


# what pyproject.toml makes commands of
train = partial(_run, "train")
evaluate = partial(_run, "evaluate")
inspect = partial(_run, "inspect")
plan = partial(_run, "plan")
report = partial(_run, "report")


def _help() -> None:
    print("usage: python -m regnet COMMAND ...\n")
    for name, (_, purpose) in COMMANDS.items():
        print(f"  {name:<10}{purpose}; also regnet-{name}")
    print("\nCOMMAND --help shows what a command takes; --version tells the version.")


if __name__ == "__main__":
    main()
