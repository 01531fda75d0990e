"""What tests of whole studies read from their folders."""

import re
from pathlib import Path
from typing import Any

from regnet.core.overrides import read
from tests.helpers.commands import Done, record

Record = dict[str, Any]


def runs(folder: Path, study: str = "s") -> list[Record]:
    """The records of a study in the order in which they began."""
    found = [record(path.parent) for path in (folder / "outputs" / "multirun" / study).glob("*/record.json")]
    return sorted(found, key=lambda kept: kept["started"])


def value(kept: Record, key: str) -> str | None:
    """Of an override of the run."""
    found = next((one for one in read(kept["overrides"]) if one.key == key), None)
    return found and (found.value if isinstance(found.value, str) else found.value_text)


def trained(done: Done) -> int:
    """How many runs a command trained to their end."""
    return len(re.findall(r"\(epoch \d+ of \d+, ", done.out))


def conclusions(done: Done, sweeper: str) -> list[str]:
    """The lines in which a sweeper tells what it found."""
    return re.findall(rf"^{sweeper}: .*$", done.out, re.MULTILINE)


def own_experiment(folder: Path, sweeper: str) -> list[str]:
    """The begin of the command line of a study of one's own, whose sweeper has these settings."""
    place = folder / "my" / "experiment"
    place.mkdir(parents=True)
    (place / "tiny.yaml").write_text(f"# @package _global_\n{sweeper}")
    return [f"--config-dir={folder}/my", "-m", "experiment=tiny"]
