"""Hydra as it is, without what it does twice: most of a tiny run's time in a test is the composing of its config."""

import contextlib
import pickle
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hydra._internal.config_loader_impl
import omegaconf._utils
import omegaconf.base
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from omegaconf import DictConfig
from omegaconf.grammar_parser import parse

from regnet.commands.train import store_launcher

CONF = Path(__file__).parents[2] / "conf"  # stays as it is while tests run
KEPT: dict[Any, bytes] = {}


def _kept(key: Any, make: Callable[[], Any]) -> Any:
    """A new copy of what was made for the key."""
    if key not in KEPT:
        KEPT[key] = pickle.dumps(make())
    return pickle.loads(KEPT[key])


def _once(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Reads a file again only where it has changed."""

    def load_config(source: Any, config_path: str) -> Any:
        path = Path(source.path, source._normalize_file_name(config_path))
        if not path.is_file():
            return read(source, config_path)
        key = path, path.stat().st_mtime_ns, path.stat().st_size, source.provider
        return _kept(key, lambda: read(source, config_path))

    return load_config


def _same_choices(find: Callable[..., DefaultsList]) -> Callable[..., DefaultsList]:
    """Finds the files for the same choices of options again only where somebody's own folder is among the sources."""

    def create_defaults_list(repo: Any, config_name: str, overrides_list: list[Any], **more: bool) -> DefaultsList:
        if not (sources := _of_the_project(repo)):
            return find(repo, config_name, overrides_list, **more)
        values = Overrides(repo, overrides_list).config_overrides
        choices = [override for override in overrides_list if override not in values]
        key = sources, config_name, *(override.input_line for override in choices), *more.items()
        found = _kept(key, lambda: find(repo, config_name, choices, **more))
        return replace(found, config_overrides=values)

    return create_defaults_list


def _same_files(merge: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Merges the same files again only where somebody's own folder is among the sources."""

    def compose(loader: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> DictConfig:
        if not (sources := _of_the_project(repo)):
            return merge(loader, defaults, repo)
        return _kept((sources, repr(defaults)), lambda: merge(loader, defaults, repo))

    return compose


def _caching(repo: CachingConfigRepository, delegate: IConfigRepository) -> None:
    """With a list of sources of its own, where Hydra copies each file that was read as well."""
    repo.delegate, repo.cache = copy(delegate), {}


def _of_the_project(repo: Any) -> tuple[Any, ...] | None:
    """The sources of configs, unless one is another folder than conf/, whose files may change."""
    sources = tuple((source.scheme(), source.path, source.provider) for source in repo.get_sources())
    return None if any(scheme == "file" and Path(path) != CONF for scheme, path, _ in sources) else sources


def _only_if_asked(find: Callable[..., Any]) -> Callable[..., Any]:
    """Hydra composes all to see whether somebody has set ``hydra.mode``."""

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        return find(hydra, config_name, overrides) if any("hydra.mode" in text for text in overrides) else None

    return get_mode


@contextlib.contextmanager
def quick_hydra() -> Iterator[None]:
    store_launcher()  # what is kept is then the same whichever test comes first
    files = SourcesRegistry.instance().resolve("file")
    find, merge = "create_defaults_list", "_compose_config_from_defaults_list"
    loader = hydra._internal.config_loader_impl
    with (
        patch.object(files, "load_config", _once(files.load_config)),
        patch.object(loader, find, _same_choices(getattr(loader, find))),
        patch.object(ConfigLoaderImpl, merge, _same_files(getattr(ConfigLoaderImpl, merge))),
        patch.object(CachingConfigRepository, "__init__", _caching),
        patch.object(Hydra, "get_mode", _only_if_asked(Hydra.get_mode)),
        patch.object(omegaconf.base, "parse", parsed),
        patch.object(omegaconf._utils, "parse", parsed),
    ):
        yield


parsed = cache(parse)  # visitors only read a tree
