"""What the pages tell a reader to type: their blocks, commands and code spans; and commands made short."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = re.compile(
    r"(regnet-\w+|make|python3?|pip|tensorboard|optuna-dashboard|wandb|mlflow|eval|\.)( |$)", re.MULTILINE
)
OVERRIDE = re.compile(r"[+~]*[a-z][\w/@]*(\.[^\s=]+)*=")


@dataclass(frozen=True)
class Block:
    """A block of code: fenced, or indented by four spaces (whose `language` is empty)."""

    place: str
    language: str
    text: str
    before: str  # all that the page says above it

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]


@dataclass(frozen=True)
class Span:
    """`code` in the text."""

    place: str
    text: str
    cell: str | None  # the whole cell, in a table


def blocks(page: Path) -> Iterator[Block]:
    lines, number = page.read_text().split("\n"), 0
    while number < len(lines):
        line, begin = lines[number], number
        if line.startswith("```"):
            number = next(i for i in range(begin + 1, len(lines)) if lines[i].startswith("```"))
            own = lines[begin + 1 : number]
        elif line.startswith("    ") and not lines[begin - 1].strip():
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                number += 1
            own = [line[4:] for line in lines[begin:number]]
            number -= 1
        else:
            number += 1
            continue
        place, language = f"{page.name}:{begin + 1}", line.removeprefix("```") if line.startswith("```") else ""
        yield Block(place, language, "\n".join(own).strip("\n"), "\n".join(lines[:begin]))
        number += 1


def spans(page: Path) -> Iterator[Span]:
    for number, text in _paragraphs(page):
        for cell in text.strip("|").split(" | ") if text.startswith("|") else [text]:
            for code in re.findall(r"`([^`]+)`", cell):
                yield Span(f"{page.name}:{number}", code, cell if text.startswith("|") else None)


def _paragraphs(page: Path) -> Iterator[tuple[int, str]]:
    """The text outside blocks by paragraph, tables by row, each with the number of its first line."""
    own = {line for block in blocks(page) for line in block.text.split("\n")}
    begin, lines = 0, []
    for number, line in enumerate([*page.read_text().split("\n"), ""], 1):
        told = not line.startswith("```") and line.removeprefix("    ") not in own
        if lines and (not told or not line.strip() or line.startswith("|")):
            yield begin, " ".join(lines)
            lines = []
        if told and line.strip():
            begin = begin if lines else number
            lines.append(line.strip())


def commands(text: str) -> list[list[str]]:
    """The words of each command of a block, without its comments; empty where it holds something else."""
    if not PROGRAM.match(text):
        return []
    lines = [line for line in text.replace("\\\n", " ").split("\n") if not line.startswith(" ")]
    found = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    return [words for words in found if words]


def is_override(word: str) -> bool:
    return bool(OVERRIDE.match(word))


def cut(words: list[str], keep: Callable[[list[str]], list[str]]) -> list[str]:
    """A command of Hydra's whose sweeps have only those of their values that `keep` leaves."""
    parser = OverridesParser.create()
    short = []
    for word in words:
        override = parser.parse_override(word) if is_override(word) and not word.startswith("run=") else None
        if override is None or not override.is_sweep_override():
            short.append(word)
        elif override.is_interval_sweep():
            ends = [str(override.value().start), str(override.value().end)]
            short.append(word if keep(ends) == ends else f"{word.partition('=')[0]}={ends[0]}")
        else:
            values = _values(override)
            short.append(f"{word.partition('=')[0]}={','.join(keep(values))}")
    return short


def _values(override: Override) -> list[str]:
    if isinstance(override.value(), Glob):
        names = sorted(path.stem for path in (ROOT / "conf" / override.key_or_group).glob("*.yaml"))
        return override.value().filter(names)
    return list(override.sweep_string_iterator())


def composed(words: list[str]) -> list[str]:
    """A command that composes the config of a study's first run and trains nothing."""
    own = [word for word in cut(words, lambda values: values[:1]) if word not in ("-m", "--multirun")]
    return own if "--cfg" in own or "--help" in own else [*own, "--cfg", "job"]
