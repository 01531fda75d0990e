"""regnet: the test bench for regularization in PyTorch.

Nothing heavy is imported before it is asked for: `regnet-train --help` must answer at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core import moved as _moved  # noqa: F401  (old names of modules)

if TYPE_CHECKING:
    from .commands.in_python import train
    from .compose.load import load
    from .core.errors import UserError
    from .report.export import load_study

__version__ = "0.2.0"
__all__ = ["UserError", "__version__", "load", "load_study", "train"]

_HOMES = {
    "UserError": ".core.errors",
    "load": ".compose.load",
    "load_study": ".report.export",
    "train": ".commands.in_python",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
