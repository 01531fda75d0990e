"""Where runs began whose weights are those of another run (`warm_start`)."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from ..core.overrides import Override
from ..run.record import RecordedRun

Starts = dict[Path, RecordedRun | str]  # a run's folder ─► the run that it began at; the name of one that is not here


def starts(runs: Sequence[RecordedRun]) -> Starts:
    """For each run with a `warm_start` the run that it began at.

    It is looked for in its own place, then beside the run, as a study may have been moved, then by its name alone. Of
    one that is not among the runs only the name is known: its own folder's, without the seed.
    """
    texts = {run.folder: text for run in runs if (text := _warm_start(run)) is not None}
    if not texts:
        return {}
    places = {run.folder.resolve(): run for run in runs}
    by_name: dict[str, list[RecordedRun]] = {}
    for run in runs:
        by_name.setdefault(run.folder.name, []).append(run)
    found: Starts = {}
    for run in runs:
        if (text := texts.get(run.folder)) is None:
            continue
        name = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
        alike = by_name.get(name, ())
        beside = [other for other in alike if other.folder.parent == run.folder.parent]
        here = [places[place]] if (place := _resolved(text)) in places else beside or alike
        found[run.folder] = here[0] if len(here) == 1 and here[0] is not run else re.sub(r",?seed=[^,]*", "", name)
    return found


def chains(found: Starts, values: Mapping[Path, str]) -> dict[Path, str]:
    """For each run that began at another a digest of all that it began at, from the `values` of each run's own.

    Two runs have the same where the runs that they began at have the same values, which themselves began alike.
    """
    known: dict[Path, str] = {}
    for folder in found:
        way: dict[Path, None] = {}  # a list that knows at once what it holds
        at: Path | str = folder
        while isinstance(at, Path) and at in found and at not in known and at not in way:
            way[at] = None
            start = found[at]
            at = start if isinstance(start, str) else start.folder
        digest = at if isinstance(at, str) else ""
        for behind in reversed(way):
            if isinstance(at, Path):
                digest = _digest(values[at], known.get(at, ""))
            known[behind], at = digest, behind
    return known


def _warm_start(run: RecordedRun) -> str | None:
    if run.config:
        text = run.config.get("warm_start")
    else:
        given = [one.value for one in map(Override.guess, run.overrides) if one.key == "warm_start" and one.sign != "~"]
        text = next(reversed(given), None)
    return text if isinstance(text, str) and text else None


def _resolved(text: str) -> Path | None:
    try:
        return Path(text).resolve()
    except (OSError, ValueError):  # a text with a null byte is no folder
        return None


def _digest(*texts: str) -> str:
    return sha256("\n".join(texts).encode("utf-8", "backslashreplace")).hexdigest()
