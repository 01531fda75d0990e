"""A person's own config files: Hydra reads them, but does not say in a sentence what is wrong with them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_files(folder: Path, overrides: Sequence[str]) -> None:
    """Reads each file in `folder` that an override chooses, as ``regularizer=mine`` does. Raises UserError."""
    for file in _chosen(folder, overrides):
        read_config(file)


def read_config(file: Path) -> dict[Any, Any]:
    """The keys and values of a config file, nothing of them resolved.

    Raises:
        UserError: it is not UTF-8, no YAML, or something else than keys and values.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), LOADER)
    except (OSError, UnicodeError) as error:
        raise UserError(f"{file} cannot be read ({error}); a config file is text in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise UserError(f"{file} is no YAML{place}: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(content, dict | None):
        raise UserError(f"{file} must hold lines such as KEY: VALUE, and holds something else")
    return content or {}


def _chosen(folder: Path, overrides: Sequence[str]) -> Iterator[Path]:
    for override in overrides:
        group, _, names = override.lstrip("+").partition("=")
        for name in re.findall(r"[\w-]+", names) if re.fullmatch(r"[\w/]+", group) else ():
            if (file := folder / group / f"{name}.yaml").is_file():
                yield file
