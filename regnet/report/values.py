"""What sets runs apart: the values in their configs, under the keys that a person gave to any of them."""

import json
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.overrides import Override, canonical, written
from ..run import identity
from ..run.identity import WATCHING, essence
from ..run.record import RecordedRun
from .order import Turns, in_turn, known_nodes
from .starts import chains, starts

APART = ("seed", "study", "folder", "warm_start", "steps", "data.split_seed")  # in which the runs of one arm may differ
FEEDING = {"augment", "batch_size", "eval_batch_size", "num_workers", "seed", "split_seed"}  # of `data`: their use
# of `data`; not yet there where a run failed early, or for others
FILLED_IN = {"epochs", "shape", "classes", "num_classes", "num_outputs", "num_samples", "schema", "inputs"}
NO_VALUES = {*APART, *(f"data.{name}" for name in FILLED_IN)}

Leaves = dict[str, Any]  # by dotted keys
Defaults = Mapping[tuple[str, str], str]  # (choices of groups, key) ─► the value as JSON


@dataclass(frozen=True)
class Described:
    """A run among others.

    Args:
        data: that it was trained and measured on, the same for all runs on these data.
        values: all that makes its arm, the same for all runs of the arm.
        given: the keys that it was given itself.
        settings: the values of the keys that were given to any of the runs, as they are spelled.
        start: the settings of the run whose weights it began at; of one that is not among the runs its name.
    """

    run: RecordedRun
    data: str
    values: str
    given: frozenset[str]
    settings: dict[str, str]
    start: Mapping[str, str] | str | None = None


def described(runs: Iterable[RecordedRun]) -> dict[Path, Described]:
    """Each of the runs by its folder.

    Two runs with the same values are alike however they came to them: by default, by an override or an experiment. A
    run that ended before its values were known is like those with the same overrides.
    """
    global _latest
    runs = list(runs)
    if len(runs) != len(_latest[0]) or not all(map(operator.is_, runs, _latest[0])):
        _latest = runs, _described(runs)
    return _latest[1]


_latest: tuple[list[RecordedRun], dict[Path, Described]] = [], {}  # a table and its page are of the same runs


def _described(runs: Sequence[RecordedRun]) -> dict[Path, Described]:
    nodes, begun = known_nodes(runs), starts(runs)
    made = _made(runs)
    names = {run.folder: _names(run, made) for run in runs}
    given = {run.folder: _given(run, names[run.folder]) for run in runs}
    keys = list(dict.fromkeys(key for own in given.values() for key in own))
    configs = {run.folder: _config(run) for run in runs if run.config}
    turns = {at: in_turn(own or [], nodes) for at, own in names.items()}
    leaves = {at: _leaves(config, turns[at]) for at, config in configs.items()}
    for key in _following(runs, leaves, keys):
        for own in leaves.values():
            own.pop(key, None)
    defaults = _defaults(given, leaves)
    texts = {at: _overrides(own, defaults, turns[at]) for at, own in given.items()}
    of_data = {at: _overrides(own, defaults, turns[at], of_data=True) for at, own in given.items()}
    as_values = {at: json.dumps(own, sort_keys=True) for at, own in leaves.items()}
    as_data = {at: _data(config) for at, config in configs.items()}
    data: dict[str, str] = {}
    values: dict[str, str] = {}
    for run in sorted(runs, key=_is_whole):  # of two with the same overrides the whole one is known by its values
        if run.config:
            values[texts[run.folder]] = as_values[run.folder]
            data[of_data[run.folder]] = as_data[run.folder]
    alike = {
        at: as_values[at] if _is_whole(run) else values.get(texts[at], texts[at]) for run in runs for at in [run.folder]
    }
    before = chains(begun, alike)
    options = _options(keys, given, leaves)
    settings = {at: _settings(keys, leaves.get(at, {}), own, names[at], options) for at, own in given.items()}
    _in_one_order(settings, turns)
    found = {}
    for run in runs:
        at, start = run.folder, begun.get(run.folder)
        found[at] = Described(
            run,
            as_data[at] if run.config.get("data") else data.get(of_data[at], of_data[at]),
            _beginning(alike[at], before.get(at)),
            frozenset(given[at]),
            settings[at],
            settings[start.folder] if isinstance(start, RecordedRun) else start,
        )
    return found


def chosen(config: Mapping[str, Any]) -> list[str]:
    """The regularizers of a config."""
    return identity.chosen(config.get("regularizer") or {})


def own_data(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of its data that make them these data."""
    return {key: value for key, value in (config.get("data") or {}).items() if key not in FEEDING | FILLED_IN}


def _data(config: Mapping[str, Any]) -> str:
    return json.dumps(own_data(config), sort_keys=True)


def _made(runs: Iterable[RecordedRun]) -> dict[str, list[str]]:
    """The regularizers that an override chose, from the configs of runs that were given it."""
    typed = ((run, one) for run in runs if run.config for one in map(Override.guess, run.overrides))
    return {_regularizer(one): chosen(run.config) for run, one in typed if one.key == "regularizer"}


def _names(run: RecordedRun, made: Mapping[str, list[str]]) -> list[str] | None:
    """The regularizers of a run, by its config, else by its overrides; None where neither tells."""
    if run.config:
        return chosen(run.config)
    typed = [one for one in map(Override.guess, run.overrides) if one.key == "regularizer"]
    return made.get(_regularizer(typed[-1]), _listed(_regularizer(typed[-1]))) if typed else None


def _given(run: RecordedRun, names: Collection[str] | None) -> dict[str, Override]:
    leaves = (leaf for text in run.overrides for leaf in Override.guess(text).leaves)
    return {one.key: one for one in leaves if one.sign != "~" and not _is_apart(one.key, names)}


def _is_apart(key: str, names: Collection[str] | None) -> bool:
    group, *path = key.split(".")
    idle = names is not None and group == "regularizer" and len(path) > 1 and path[0] not in names
    return key in APART or group in WATCHING or idle


def _config(run: RecordedRun) -> dict[str, Any]:
    """The values of its config, without its own place."""
    return essence({key: value for key, value in run.config.items() if key not in ("seed", "warm_start")})


def _leaves(config: Mapping[str, Any], turns: Turns) -> Leaves:
    """The same without what its data filled in. Of regularizers only the order of those that act in turn counts."""
    names = {"regularizer": sorted(chosen(config))} | ({"order": turns} if turns else {})
    return {key: value for key, value in _flat(config).items() if key not in NO_VALUES} | names


def _beginning(values: str, before: str | None) -> str:
    """The values of a run, with what it began at if that is not its own initialization."""
    return values if before is None else json.dumps(json.loads(values) | {"warm_start": before}, sort_keys=True)


def _flat(node: Mapping[str, Any], prefix: str = "") -> Leaves:
    found: Leaves = {}
    for name, value in node.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _following(runs: Sequence[RecordedRun], leaves: Mapping[Path, Leaves], given: Collection[str]) -> list[str]:
    """The keys whose value is that of the seed, say, in every run: they refer to it."""
    apart = {run.folder: {"seed": run.seed} | _apart(run.config) for run in runs if run.config}

    def follows(key: str, name: str) -> bool:
        return all(key not in own or _same(own[key], apart[at].get(name)) for at, own in leaves.items())

    keys = {key for own in leaves.values() for key in own} - {*given}
    return [key for key in keys if any(follows(key, name) for name in APART)]


def _apart(config: Mapping[str, Any]) -> Leaves:
    return {key: canonical(value, key.rpartition(".")[2]) for key, value in _flat(config).items() if key in APART}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other and one is not None


def _is_whole(run: RecordedRun) -> bool:
    """Whether its data had filled in what other values may refer to."""
    data = run.config.get("data")
    return bool(data and data.get("shape") is not None)


def _defaults(given: Mapping[Path, Mapping[str, Override]], leaves: Mapping[Path, Leaves]) -> Defaults:
    """The value of each key in runs that were not given it, where all with the same choices of groups have that one."""
    found: dict[tuple[str, str], set[str]] = {}
    keys = {key for own in given.values() for key in own}
    for at, own in leaves.items():
        for key in own.keys() & keys - given[at].keys():
            found.setdefault((_groups(given[at]), key), set()).add(_plain(own[key]))
    return {at: values.pop() for at, values in found.items() if len(values) == 1}


def _groups(given: Mapping[str, Override]) -> str:
    return json.dumps({key: one.spelled for key, one in given.items() if "." not in key and key != "regularizer"})


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _overrides(given: Mapping[str, Override], defaults: Defaults, turns: Turns, of_data: bool = False) -> str:
    """What is the same for runs with the same overrides, of which those that say a default are none."""

    def matters(key: str) -> bool:
        group, _, path = key.partition(".")
        return group == "experiment" or (group == "data" and path.partition(".")[0] not in FEEDING)

    def is_default(key: str, one: Override) -> bool:
        value = sorted(_listed(_regularizer(one))) if key == "regularizer" else canonical(one.value, one.parts[-1])
        return defaults.get((groups, key)) == _plain(value)

    groups = _groups(given)
    found = {
        key: [sorted(_listed(_regularizer(one))), turns] if key == "regularizer" else one.spelled
        for key, one in given.items()
        if not is_default(key, one)
    }
    return json.dumps({key: value for key, value in found.items() if not of_data or matters(key)}, sort_keys=True)


def _options(
    keys: Sequence[str], given: Mapping[Path, Mapping[str, Override]], leaves: Mapping[Path, Leaves]
) -> dict[str, str]:
    """The option of a group by the values that it stands for, from the runs that were given it."""
    found: dict[str, str] = {}
    for at, own in leaves.items():
        for key in given[at]:
            if key not in own and (values := _below(key, own, keys)):
                found.setdefault(values, given[at][key].spelled)
    return found


def _below(key: str, own: Leaves, given: Collection[str]) -> str:
    """The values of a group, without those that were given one by one."""
    inside = {name: value for name, value in own.items() if name.startswith(f"{key}.") and name not in given}
    return json.dumps(inside, sort_keys=True) if inside else ""


def _settings(
    keys: Sequence[str],
    own: Leaves,
    typed: Mapping[str, Override],
    names: Sequence[str] | None,
    options: Mapping[str, str],
) -> dict[str, str]:
    found: dict[str, str | None] = {}
    for key in keys:
        if _is_apart(key, names):
            continue
        if key == "regularizer" and key in typed:
            found[key] = _regularizer(typed[key])
        elif key == "regularizer" and own:
            found[key] = _one_or_list(names or [])
        elif key in own:
            found[key] = written(own[key], key=key.rpartition(".")[2])
        else:
            found[key] = typed[key].spelled if key in typed else options.get(_below(key, own, keys))
    return {key: value for key, value in found.items() if value is not None}


def _in_one_order(settings: Mapping[Path, dict[str, str]], turns: Mapping[Path, Turns]) -> None:
    """Let choices of regularizers that act alike be spelled as the first of them."""
    first: dict[str, str] = {}
    for at, own in settings.items():
        if (text := own.get("regularizer")) is not None:
            own["regularizer"] = first.setdefault(json.dumps([sorted(_listed(text)), turns[at]]), text)


def _regularizer(override: Override) -> str:
    return _one_or_list([name for name in override.options if name != "none"])


def _one_or_list(names: Sequence[str]) -> str:
    return f"[{','.join(names)}]" if names[1:] else "".join(names) or "none"


def _listed(regularizer: str) -> list[str]:
    return [name for name in regularizer.strip("[]").split(",") if name not in ("", "none")]
