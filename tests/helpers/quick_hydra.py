"""Hydra as it is, without what it does twice: most of a tiny run's time in a test is the composing of its config."""

import contextlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins

FILES: dict[tuple[Any, ...], bytes] = {}


def _once(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Reads a file again only where it has changed."""

    def load_config(source: Any, config_path: str) -> Any:
        path = Path(source.path, source._normalize_file_name(config_path))
        if not path.is_file():
            return read(source, config_path)
        key = path, path.stat().st_mtime_ns, path.stat().st_size, source.provider
        if key not in FILES:
            FILES[key] = pickle.dumps(read(source, config_path))
        return pickle.loads(FILES[key])

    return load_config


def _only_if_asked(find: Callable[..., Any]) -> Callable[..., Any]:
    """Hydra composes all to see whether somebody has set ``hydra.mode``."""

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        return find(hydra, config_name, overrides) if any("hydra.mode" in text for text in overrides) else None

    return get_mode


@contextlib.contextmanager
def quick_hydra() -> Iterator[None]:
    Plugins.instance()
    files = SourcesRegistry.instance().resolve("file")
    with (
        patch.object(files, "load_config", _once(files.load_config)),
        patch.object(Hydra, "get_mode", _only_if_asked(Hydra.get_mode)),
    ):
        yield
