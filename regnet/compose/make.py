"""Objects from config nodes, with one sentence where that fails."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pkgutil import resolve_name
from typing import Any, TypeVar

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ..core.errors import UserError, described, shown
from ..core.overrides import Override
from .arguments import suited
from .hydra_private import root
from .mistakes import origin

Result = TypeVar("Result")
RELATIVE = re.compile(r"\$\{(\.+)([\w.]+)\}")
OURS = ("regnet.", "torch.optim.", "lightning.")


def make(node: Any, key: str, **extra: Any) -> Any:
    """Instantiates a config node. Raises UserError in one sentence that names `key` if that fails."""
    node = suit(node, key)
    try:
        return _construct(node, extra)
    except Exception:
        pass  # Hydra knows the rarer keys, and tells what is wrong
    try:
        return instantiate(literal(node), _convert_="all", **extra)
    except Exception as error:
        raise UserError(f"{_failed_key(error, key)}: {_reason(error)}") from error


def make_a(kind: type[Result], node: Any, key: str, **extra: Any) -> Result:
    """As `make`, of a node with a `_target_`. Raises UserError too where the object is of another class."""
    made = make(node, key, **extra)
    if not isinstance(made, kind):
        raise UserError(
            f"{key}._target_={node['_target_']} makes a {type(made).__name__}, and must make a {kind.__name__}"
        )
    return made


def suit(node: Any, key: str) -> Any:
    """A node as plain data, whose settings are of the kinds that their classes ask for (see `arguments.suited`)."""
    if not OmegaConf.is_config(node):
        return _suit(node, key, str)
    return _suit(OmegaConf.to_container(node, resolve=True), key, partial(_given_at, node))


def _suit(node: Any, key: str, given_at: Callable[[str], str]) -> Any:
    if isinstance(node, list):
        return [_suit(item, key, given_at) for item in node]
    if not isinstance(node, dict):
        return node
    settings = {name: _suit(value, f"{key}.{name}", given_at) for name, value in node.items()}
    if "_target_" not in node:
        return settings
    if not isinstance(node.get("_partial_", True), bool):
        raise UserError(f"{key}._partial_={shown(node['_partial_'])} must be true or false")
    own = {name: value for name, value in settings.items() if not name.startswith("_")}
    return settings | suited(class_of(node["_target_"], key), own, key, given_at)


def _given_at(node: Any, key: str) -> str:
    """The key where a person gives the value of `key`: that of its mapping's own to which ``${..path}`` refers."""
    parent, _, name = key.rpartition(".")
    mapping = OmegaConf.select(root(node), parent)
    if not isinstance(mapping, DictConfig) or not OmegaConf.is_interpolation(mapping, name):
        return key
    written: Any = OmegaConf.to_container(mapping, resolve=False)
    reference = RELATIVE.fullmatch(written[name])
    if reference is None:
        return key
    above = key.split(".")[: -len(reference[1])]
    return _given_at(node, ".".join([*above, reference[2]]))


def try_to(key: str, act: Callable[..., Result], *arguments: Any, **settings: Any) -> Result:
    """`act` of these; what it refuses becomes one sentence that begins with `key`."""
    try:
        return act(*arguments, **settings)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{key}: {_reason(error)}") from error


def literal(value: Any) -> Any:
    """Plain data as OmegaConf must be given them to hold them as they are.

    ``${x}`` is text, not the value of x, and so is ``???``, which else is a value that must be given.
    """
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literal(item) for item in value]
    if isinstance(value, str) and ("${" in value or value == "???"):
        return "${chars:" + ",".join(str(ord(char)) for char in value) + "}"
    return value


OmegaConf.register_new_resolver("chars", lambda *codes: "".join(map(chr, codes)), replace=True)


def _construct(node: Any, extra: dict[str, Any]) -> Any:
    """What `instantiate` does of the common keys, without the 1.5 ms that Hydra takes for each object.

    Measured on 2 cores, 5 pairs: without this a packed study of 256 runs, 5 epochs of `digits` each, takes 1.06 times
    as long (19.3 s, not 18.3; 1.09 times the CPU time), one of 64 runs 1.03 times the CPU time, one of 8 as long.
    """
    if isinstance(node, list):
        return [_construct(item, {}) for item in node]
    if not isinstance(node, dict):
        return node
    arguments = {key: _construct(value, {}) for key, value in node.items() if key not in ("_target_", "_partial_")}
    if "_target_" not in node:
        return arguments
    if any(key.startswith("_") for key in arguments):
        raise NotImplementedError
    function, arguments = _known(node["_target_"]), arguments | extra
    return partial(function, **arguments) if node.get("_partial_") else function(**arguments)


def class_of(path: Any, key: str) -> Callable[..., Any]:
    """The class or function of a `_target_`. Raises UserError where there is none."""
    if not isinstance(path, str):
        raise UserError(f"{key}._target_={shown(path)} must be the path of a class, such as torch.nn.Linear")
    try:
        found = resolve_name(path)
    except Exception as error:
        raise UserError(f"{key}._target_={path} cannot be imported: {error}") from error
    if not callable(found):
        raise UserError(f"{key}._target_={path} is a {type(found).__name__}, and must be a class or function")
    return found


@cache
def _known(target: str) -> Any:
    found = resolve_name(target)
    if not (target.startswith(OURS) and found.__module__.startswith(OURS)):
        raise NotImplementedError
    return found


def as_typed_of(overrides: Sequence[Override], *keys: str) -> str:
    """The overrides of `keys` and below, as a person typed them."""
    return " ".join(override.text for override in overrides if override.parts[0] in keys)


def _failed_key(error: Exception, key: str) -> str:
    _, found, full_key = str(error).rpartition("full_key: ")
    return f"{key}.{full_key}" if found and full_key else key


def _reason(error: Exception) -> str:
    cause = origin(error)
    if isinstance(cause, ValueError | UserError | InstantiationException):
        return " ".join(str(cause).split("full_key:")[0].split())
    return described(cause)
