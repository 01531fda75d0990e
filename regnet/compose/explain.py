"""What Hydra and OmegaConf complain about, in one sentence that names the key, the value and what is right."""

import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from ..core.errors import near, shown
from ..core.overrides import Override, read
from .arguments import takes
from .config_files import OF_REGULARIZERS, own_hydra
from .hydra_private import get_args_parser
from .quoting import quoted, unreadable

MISSING = object()
PLUGINS = {  # Hydra plugins, by the options that they bring
    "hydra/launcher=joblib": "hydra-joblib-launcher",
    "hydra/launcher=ray": "hydra-ray-launcher",
    "hydra/launcher=ray_aws": "hydra-ray-launcher",
    "hydra/launcher=rq": "hydra-rq-launcher",
    "hydra/launcher=submitit_local": "hydra-submitit-launcher",
    "hydra/launcher=submitit_slurm": "hydra-submitit-launcher",
    "hydra/sweeper=ax": "hydra-ax-sweeper",
    "hydra/sweeper=nevergrad": "hydra-nevergrad-sweeper",
    "hydra/sweeper=optuna": "hydra-optuna-sweeper --pre",
}


class Configs:
    """The folders of configs that a command line asks for, and what can be composed of them."""

    def __init__(self, folder: Path, config_name: str, arguments: Sequence[str]) -> None:
        flags, _ = get_args_parser().parse_known_intermixed_args(list(arguments))
        self.overrides = read(flags.overrides)
        self.own = [Path(flags.config_dir).absolute()] if flags.config_dir else []
        self.folder, self.name, self.command = folder, config_name, flags

    def options(self, group: str) -> dict[str, Path]:
        """The files of a group by their names, a person's own before those of regnet."""
        found = (path for folder in (self.folder, *self.own) for path in (folder / group).glob("*.yaml"))
        return dict(sorted((path.stem, path) for path in found))

    @cached_property
    def choices(self) -> list[str]:
        """The overrides that choose an option that there is."""
        plain = [one for one in self.overrides if not (one.sign or one.package or "." in one.key) and one.options]
        return [one.text for one in plain if one.key.startswith("hydra/") or {*one.options} <= {*self.options(one.key)}]

    @cached_property
    def config(self) -> DictConfig | None:
        """The config under the chosen options, without the overrides of single values."""
        return self.compose(self.choices) or self.compose([])

    def compose(self, choices: Sequence[str]) -> DictConfig | None:
        own = [f'hydra.searchpath=["file://{self.own[0]}"]'] if self.own else []
        try:
            with own_hydra(self.folder):
                return compose(self.name, [*choices, *own], return_hydra_config=True)
        except Exception:
            return None

    def node(self, key: str) -> Any:
        """What the config has at `key`; None where that is nothing, or nothing can be composed."""
        return None if self.config is None else OmegaConf.select(self.config, key)

    def typed(self, key: str) -> str:
        """The override of `key` as a person typed it."""
        return next((one.text for one in self.overrides if key in (one.key, one.target)), key)


def explain(error: Exception, folder: Path, config_name: str, arguments: Sequence[str] = ()) -> str:
    """The sentence for an error that `arguments` raised with the configs in `folder`."""
    text = str(error)
    configs = Configs(folder, config_name, arguments)
    if isinstance(error, MissingConfigException) and (match := re.search(r"Could not (?:load|find) '([^']*)'", text)):
        group, _, name = match[1].rpartition("/")
        return _unknown_option(group, name, error.options or list(configs.options(group)))
    for pattern, tell in RULES.items():
        if match := re.search(pattern, text, re.DOTALL):
            return tell(match, configs)
    if (sentence := unreadable(configs.command.overrides)) is not None:
        return sentence
    if isinstance(error, TypeError) and (match := re.match(r"argument of type '(\w+)' is not iterable", text)):
        return _no_option(match, configs)  # a list of what is no text
    return " ".join(text.split("full_key:")[0].split())


def _unknown_option(group: str, name: str, options: Sequence[str]) -> str:
    choice = f"{group}={name}"
    if package := PLUGINS.get(choice):
        return f"{choice} is a plugin of Hydra that is not installed: pip install {package}"
    if name.startswith("["):
        return f"{choice}: a list of options has no quotes of its own: {shlex.quote(choice)}"
    options = [option for option in options if not option.endswith("/")]
    return f"{choice}: {name or 'an empty text'} is not one of {', '.join(options)}{near(name, options)}"


def _no_option(match: re.Match[str], configs: Configs) -> str:
    def fits(one: Override) -> bool:
        inside = one.value if isinstance(one.value, list) else [one.value]
        return bool(one.key) and one.sign != "~" and match[1] in {type(item).__name__ for item in inside}

    wrong = next((one for one in configs.overrides if fits(one) and configs.options(one.key)), None)
    if wrong is None:
        null = "a group such as regularizer=... takes the name of an option, and null is none"
        return unreadable(configs.command.overrides) or null
    options = ", ".join(configs.options(wrong.key))
    return f"{wrong.text}: {wrong.key} takes the name of an option, and null is none; choose from {options}"


def _unknown_key(match: re.Match[str], configs: Configs) -> str:
    key = match[1]
    if "/" in key or "@" in key:
        return _unknown_group(key, configs)
    typed, node = configs.typed(key), configs.config
    group, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    if group == "regularizer" and name and node is not None and name not in node.regularizer:
        with_it = _with_regularizer(name, configs)
        if with_it is not None and OmegaConf.select(with_it, key, default=MISSING) is not MISSING:
            return _not_chosen(typed, name, configs)
        node = with_it or node
    path, missing, node = _walk(key, node)
    if missing is None:  # the mapping that is given has a key that is not there
        value = Override.guess(typed).value_text
        own = [str(name) for name in node] if isinstance(node, DictConfig) else []
        return f"{typed}: {value} has a key that {key} has not (its keys are {', '.join(own) or 'none'})"
    if not path and (options := configs.options(missing)):
        return f"{typed}: no {missing} is chosen; choose one as well: {missing}=NAME, one of {', '.join(options)}"
    if not isinstance(node, DictConfig):
        return f"{typed}: {path} is the value {shown(node)}, and has no key {missing}"
    if takes(node, missing) or (group == "regularizer" and path.count(".") == 1 and missing in OF_REGULARIZERS):
        return f"{typed}: {path} takes {missing}, which is not in its config yet; write +{typed}"
    return _no_such_key(typed, path, missing, node, configs)


def _unknown_setting(match: re.Match[str], configs: Configs) -> str:
    """Of a launcher or sweeper, which Hydra adds to its config without asking the class."""
    path, missing = f"hydra.{match[1].lower()}", match[2]
    typed = next((one.text for one in configs.overrides if one.key.startswith(f"{path}.{missing}")), "")
    return _no_such_key(typed, path, missing, configs.node(path), configs)


def _unknown_group(group: str, configs: Configs) -> str:
    found = {path.name for path in configs.folder.iterdir() if path.is_dir()} - {"base", "hydra"}
    groups = sorted(found | {"hydra/launcher", "hydra/sweeper"})
    return (
        f"{configs.typed(group)}: there is no group {group}{near(group, groups)} (the groups are {', '.join(groups)})"
    )


def _with_regularizer(name: str, configs: Configs) -> DictConfig | None:
    """The config in which the regularizer of this name is chosen alone; None where there is none."""
    option = next((option for option, path in configs.options("regularizer").items() if name in _loaded(path)), None)
    if option is None:
        return None
    others = [text for text in configs.choices if Override.guess(text).key != "regularizer"]
    return configs.compose([*others, f"regularizer={option}"])


def _loaded(path: Path) -> Collection[str]:
    """The keys of a config file; none of one that is no config."""
    try:
        return OmegaConf.load(path)
    except Exception:
        return ()


def _walk(key: str, node: Any) -> tuple[str, str | None, Any]:
    """How far `key` leads: the path, the part that is missing (None if none is), and the node of the path."""
    path: list[str] = []
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            return ".".join(path), part, node
        path.append(part)
        node = node[part] if not OmegaConf.is_missing(node, part) else None
    return key, None, node


def _no_such_key(typed: str, path: str, missing: str, node: DictConfig | None, configs: Configs) -> str:
    keys = [str(key) for key in node or () if key != "hydra"]
    group = path.replace(".", "/")
    elsewhere = [
        f"{group}={option}"
        for option, file in configs.options(group).items()
        if path and path != "regularizer" and missing in _loaded(file)
    ]
    hint = f"; {' and '.join(elsewhere)} {'have' if len(elsewhere) > 1 else 'has'} it" if elsewhere else ""
    if not hint:
        hint = near(missing, keys)
    keys_told = f"its keys are {', '.join(keys)}" if keys else "it has none"
    return f"{typed}: {path or 'the config'} has no key {missing}{hint} ({keys_told})"


def _not_chosen(typed: str, name: str, configs: Configs) -> str:
    config = configs.config
    default = f"regularizer=[{','.join(config.regularizer)}]" if config else "regularizer=none"
    chosen = next((one.text for one in configs.overrides if one.key == "regularizer"), default)
    if name in re.findall(r"\w+", chosen):  # a sweep
        return f"{typed}: not every run of {chosen} has {name}; write ++{typed} to mean those that do"
    return (
        f"{typed}: {name} is not among the chosen regularizers ({chosen}); choose it as well, "
        f"or write ++{typed} to mean those runs of a study that do"
    )


def _several(match: re.Match[str], configs: Configs) -> str:
    typed = match[1]
    override = Override.guess(typed)
    key, value = override.key, override.value_text
    ways = [f"-m trains one run for each: regnet-train -m {shlex.quote(typed)}"] if configs.name == "train" else []
    if "," in value and "(" not in value:
        ways += [f"{shlex.quote(f'{key}=[{value}]')} is a list for one run", f"{quoted(typed)} is one text"]
    else:
        ways += [f"{quoted(typed)} is text"]
    return f"{typed} is several values: {'; '.join(ways)}"


def _already_there(match: re.Match[str], configs: Configs) -> str:
    key = match[1]
    typed = configs.typed(key)
    return f"{typed}: {key} is there already; write {typed.lstrip('+')}"


def _wrong_kind(match: re.Match[str], configs: Configs) -> str:
    key = Override.guess(match[1]).key
    now = configs.node(key)
    if isinstance(now, DictConfig):
        example = next((name for name in map(str, now) if not name.startswith("_")), "key")
        return f"{match[1]}: {key} has settings of its own; write one of them, such as {key}.{example}=VALUE"
    return f"{match[1]}: the value is not of the kind of {key}, which is {shown(now)} by default"


def _interpolation(match: re.Match[str], _: Configs) -> str:
    return f"{match[2]}: ${{{match[1]}}} refers to {match[1]}, which is not there"


def _interval(_: re.Match[str], configs: Configs) -> str:
    typed = next((one.text for one in configs.overrides if "interval(" in one.text), "interval(...)")
    return (
        f"{typed}: a grid has no intervals; hydra/sweeper=search and tune draw from them, or give values as in KEY=1,2"
    )


def _no_value(match: re.Match[str], _: Configs) -> str:
    key = match[1] if "." in match[1] else match[2] or match[1]  # the key to which an interpolation refers
    return f"{key} has no value; give it as {key}=VALUE"


RULES: Mapping[str, Callable[[re.Match[str], Configs], str]] = {
    r"^Could not override '([^']+)'": _unknown_key,
    r"^\w+(Launcher|Sweeper)\.__init__\(\) got an unexpected keyword argument '(\w+)'": _unknown_setting,
    r"Missing mandatory value: (\S+)(?:.*full_key: (\S+))?": _no_value,
    r"Config group override must be a string or a list. Got (\w+)": _no_option,
    r"^Ambiguous value for argument '(.*?)'\n": _several,
    r"^Sweep parameters '(.*)' requires --multirun": _several,
    r"^Could not append to config. An item is already at '([^']+)'": _already_there,
    r"^Multiple values for ([\w/]+)\.": _already_there,
    r"force-add of config groups is not supported: '\+\+([^=]*)=": _already_there,
    r"^Could not delete from config. '(.*)' does not exist": lambda m, _: f"~{m[1]}: there is no {m[1]} to take away",
    r"^BasicSweeper does not support sweep type : INTERVAL_SWEEP": _interval,
    r"^Error merging override (.*)": _wrong_kind,
    r"Interpolation key '([^']+)' not found\s+full_key: (\S+)": _interpolation,
    r"^Recursive interpolation detected\s+full_key: (\S+)": lambda m, c: f"{c.typed(m[1])} refers to itself",
    r"^Unsupported interpolation type (\S+)\s+full_key: (\S+)": lambda m, c: (
        f"{c.typed(m[2])}: {m[1]} is no resolver of Hydra or OmegaConf"
    ),
    r"^Key '\w+' is not in struct\s+full_key: (\S+)": lambda m, _: f"{m[1]} is missing: a run needs it",
    r"Additional config directory '(.*)' not found": lambda m, _: f"--config-dir: {m[1]} is no folder",
    r"Cannot find primary config '(.*?)'": lambda m, c: (
        f"--config-name {m[1]}: there is no {m[1]}.yaml in {' or '.join(map(str, (c.folder, *c.own)))}"
    ),
    r"Primary config (?:module|directory) '?(.*?)'? not found": lambda m, c: (
        f"--config-path {c.command.config_path} is no folder of configs; --config-dir FOLDER adds one of your own"
    ),
    r"\w+ raised while resolving interpolation: [\"']?(.*?)[\"']?\n\s*full_key: (\S+)": lambda m, _: (
        m[1] if m[1].startswith("study=") else f"{m[2]}: {m[1]}"
    ),
}
