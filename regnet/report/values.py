"""What sets runs apart: the values in their configs, under the keys that a person gave to any of them."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.overrides import Override, canonical, written
from ..run import identity
from ..run.identity import WATCHING, essence
from ..run.record import RecordedRun

APART = ("seed", "study", "folder", "warm_start", "steps", "data.split_seed")  # in which the runs of one arm may differ
FEEDING = {"augment", "batch_size", "eval_batch_size", "num_workers", "seed", "split_seed"}  # of `data`: their use
# of `data`; not yet there where a run failed early, or for others
FILLED_IN = {"epochs", "shape", "classes", "num_classes", "num_outputs", "num_samples", "schema", "inputs"}

Leaves = dict[str, Any]  # by dotted keys


@dataclass(frozen=True)
class Described:
    """A run among others.

    Args:
        data: that it was trained and measured on, the same for all runs on these data.
        values: all that makes its arm, the same for all runs of the arm.
        given: the keys that it was given itself.
        settings: the values of the keys that were given to any of the runs, as they are spelled.
    """

    run: RecordedRun
    data: str
    values: str
    given: frozenset[str]
    settings: dict[str, str]


def described(runs: Iterable[RecordedRun]) -> dict[Path, Described]:
    """Each of the runs by its folder.

    Two runs with the same values are alike however they came to them: by default, by an override or an experiment. A
    run that ended before its values were known is like those with the same overrides.
    """
    runs = list(runs)
    given = {run.folder: _given(run) for run in runs}
    keys = list(dict.fromkeys(key for own in given.values() for key in own))
    configs = {run.folder: _config(run) for run in runs if run.config}
    leaves = {at: _leaves(config) for at, config in configs.items()}
    for key in _following(runs, leaves, keys):
        for own in leaves.values():
            own.pop(key, None)
    data: dict[str, str] = {}
    values: dict[str, str] = {}
    for run in sorted(runs, key=_is_whole):  # of two with the same overrides the whole one is known by its values
        if run.config:
            values[_overrides(given[run.folder])] = json.dumps(leaves[run.folder], sort_keys=True)
            data[_overrides(given[run.folder], of_data=True)] = _data(configs[run.folder])
    options = _options(keys, given, leaves)
    found = {}
    for run in runs:
        own, typed = leaves.get(run.folder, {}), given[run.folder]
        text, of_data = _overrides(typed), _overrides(typed, of_data=True)
        found[run.folder] = Described(
            run,
            _data(configs[run.folder]) if run.config.get("data") else data.get(of_data, of_data),
            json.dumps(own, sort_keys=True) if _is_whole(run) else values.get(text, text),
            frozenset(typed),
            _settings(keys, run, own, typed, options),
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


def _given(run: RecordedRun) -> dict[str, Override]:
    leaves = (leaf for text in run.overrides for leaf in Override.guess(text).leaves)
    return {one.key: one for one in leaves if one.sign != "~" and not _is_apart(one.key, run.config)}


def _is_apart(key: str, config: Mapping[str, Any]) -> bool:
    group, *path = key.split(".")
    idle = bool(config) and group == "regularizer" and len(path) > 1 and path[0] not in chosen(config)
    return key in APART or group in WATCHING or idle


def _config(run: RecordedRun) -> dict[str, Any]:
    """The values of its config, without its own place."""
    return essence({key: value for key, value in run.config.items() if key not in ("seed", "warm_start")})


def _leaves(config: Mapping[str, Any]) -> Leaves:
    """The same without what its data filled in."""
    apart = {*APART, *(f"data.{name}" for name in FILLED_IN)}
    return {key: value for key, value in _flat(config) if key not in apart} | {"regularizer": chosen(config)}


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _following(runs: Sequence[RecordedRun], leaves: Mapping[Path, Leaves], given: Collection[str]) -> list[str]:
    """The keys whose value is that of the seed, say, in every run: they refer to it."""
    apart = {run.folder: {"seed": run.seed} | dict(_flat(canonical(run.config))) for run in runs if run.config}

    def follows(key: str, name: str) -> bool:
        return all(key not in own or _same(own[key], apart[at].get(name)) for at, own in leaves.items())

    keys = {key for own in leaves.values() for key in own} - {*given}
    return [key for key in keys if any(follows(key, name) for name in APART)]


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other and one is not None


def _is_whole(run: RecordedRun) -> bool:
    """Whether its data had filled in what other values may refer to."""
    data = run.config.get("data")
    return bool(data and data.get("shape") is not None)


def _overrides(given: Mapping[str, Override], of_data: bool = False) -> str:
    def matters(key: str) -> bool:
        group, _, path = key.partition(".")
        return group == "experiment" or (group == "data" and path.partition(".")[0] not in FEEDING)

    found = {key: _regularizer(one) if key == "regularizer" else one.spelled for key, one in given.items()}
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
    keys: Sequence[str], run: RecordedRun, own: Leaves, typed: Mapping[str, Override], options: Mapping[str, str]
) -> dict[str, str]:
    found: dict[str, str | None] = {}
    for key in keys:
        if _is_apart(key, run.config):
            continue
        if key == "regularizer" and (key in typed or run.config):
            found[key] = _regularizer(typed[key]) if key in typed else _one_or_list(own[key])
        elif key in own:
            found[key] = written(own[key], key=key.rpartition(".")[2])
        else:
            found[key] = typed[key].spelled if key in typed else options.get(_below(key, own, keys))
    return {key: value for key, value in found.items() if value is not None}


def _regularizer(override: Override) -> str:
    return _one_or_list([name for name in override.options if name != "none"])


def _one_or_list(names: Sequence[str]) -> str:
    return f"[{','.join(names)}]" if names[1:] else "".join(names) or "none"
