"""What Hydra and OmegaConf complain about, in one sentence that names the key, the value and what is right."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from .errors import near

MISSING = object()


def explain(error: Exception, folder: Path, config_name: str, arguments: Sequence[str] = ()) -> str:
    """The sentence for an error that `arguments` raised with the configs in `folder`."""
    text = str(error)
    if match := re.search(r"Could not (?:load|find) '([^']+)'", text):
        group, _, name = match[1].rpartition("/")
        options = error.options if isinstance(error, MissingConfigException) and error.options else None
        return _unknown_option(group, name, options or _options(folder, group))
    if match := re.match(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1], folder, config_name, arguments)
    if match := re.match(r"Missing mandatory value: .*full_key: (\S+)|Missing mandatory value: (\S+)", text, re.DOTALL):
        key = match[1] or match[2]
        return f"{key} has no value; give it as {key}=VALUE"
    if match := re.match(r"Error parsing override '(.*)'\s*(.*)", text):
        return f"{match[1]!r} cannot be read as KEY=VALUE ({match[2]})"
    if "Config group override must be" in text:
        return "a group such as regularizer=... takes the name of an option, and null is none"
    if any(words in text for words in ("no viable alternative", "NoViableAlt", "mismatched input", "extraneous input")):
        return f"the overrides cannot be read ({text.splitlines()[0]}); quote brackets, commas and spaces for the shell"
    return " ".join(text.split())


def _unknown_option(group: str, name: str, options: Sequence[str]) -> str:
    options = [option for option in options if not option.endswith("/")]
    return f"{group}={name}: {name} is not one of {', '.join(options)}{near(name, options)}"


def _unknown_key(key: str, folder: Path, config_name: str, arguments: Sequence[str]) -> str:
    override = next((argument for argument in arguments if argument.startswith(f"{key}=")), key)
    group, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    node: object = _compose(folder, config_name, arguments)
    if group == "regularizer" and name in _options(folder, group):
        alone = [argument for argument in arguments if not argument.startswith("regularizer=")]
        with_it = _compose(folder, config_name, [*alone, f"regularizer={name}"])
        if OmegaConf.select(with_it, key, default=MISSING) is not MISSING:
            return _not_chosen(override, name, node, arguments)
        node = with_it
    path: list[str] = []
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            break
        path.append(part)
        node = node[part]
    keys = [str(key) for key in node] if isinstance(node, DictConfig) else []
    missing = key.split(".")[len(path)] if len(path) < key.count(".") + 1 else key
    where = ".".join(path) or "the config"
    return f"{override}: {where} has no key {missing}{near(missing, keys)} (its keys are {', '.join(keys)})"


def _not_chosen(override: str, name: str, config: DictConfig | None, arguments: Sequence[str]) -> str:
    default = f"regularizer=[{','.join(config.regularizer)}]" if config else "regularizer=none"
    chosen = next((argument for argument in arguments if argument.startswith("regularizer=")), default)
    if name in re.findall(r"\w+", chosen):  # a sweep
        return f"{override}: not every run of {chosen} has {name}; write ++{override} to mean those that do"
    return (
        f"{override}: {name} is not among the chosen regularizers ({chosen}); choose it as well, "
        f"or write ++{override} to mean those runs of a study that do"
    )


def _compose(folder: Path, config_name: str, arguments: Sequence[str]) -> DictConfig | None:
    """The config under the options that `arguments` choose, without the overrides of single values.

    Options from a person's own --config-dir are left out.
    """
    groups = [argument for argument in arguments if re.fullmatch(r"\w+=(\w+|\[[\w,]*\])", argument)]
    pairs = ((argument, *argument.split("=")) for argument in groups)
    options = [text for text, group, names in pairs if {*re.findall(r"\w+", names)} <= {*_options(folder, group)}]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            return compose(config_name, options)
    except Exception:
        return None


def _options(folder: Path, group: str) -> list[str]:
    return sorted(path.stem for path in (folder / group).glob("*.yaml"))
