"""report.html: a study as one file that needs no network and no scripts."""

import base64
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import shorten

from ..core.console import printable
from ..core.metrics import scale_of
from ..run.record import RecordedRun
from .columns import BEST, NOTHING, Cell, Column, columns, marks, scale
from .content import Content, Section
from .digits import brief, number, signed
from .effects import interactions, main_effects
from .meanings import GLOSSARY, RUNS
from .study import Arm, Study
from .sweep import as_error
from .table import left_out

HERE = Path(__file__).parent
MISSING = ("", NOTHING.text)

Columns = Mapping[str, Column]


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it: PNG, of one study (by its place) or, with None, of all."""

    name: str
    caption: str
    png: bytes
    study: int | None = None


def html(told: Content, pictures: Sequence[Picture]) -> str:
    """The whole page: the answer, the tables, the figures, every run."""
    title = _title(told.runs)
    parts = [f"<h1>{escape(title)}</h1>", _counts(told.runs)]
    if len(told.sections) > 1:
        parts += _answer([*told.headlines, *([told.ranking.sentence()] if told.ranking else [])], "answer all")
    parts += _figures([picture for picture in pictures if picture.study is None])
    told_of = [columns(section.study, section.baseline) for section in told.sections]
    for index, (section, every) in enumerate(zip(told.sections, told_of, strict=True)):
        parts += _section(section, every, [picture for picture in pictures if picture.study == index])
    if lost := left_out(told.runs, told.studies):
        parts += ["<h2>Without a result</h2>", *(f"<p>{escape(line)}</p>" for line in lost)]
    parts += _folded(f"All {len(told.runs)} runs", [_table(*_runs(told))])
    parts += _meanings(told_of)
    style, script = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + f"\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _meanings(told_of: Sequence[Columns]) -> list[str]:
    """What the page's numbers mean, its columns' first: pointing at a header tells the same."""
    if not told_of:
        return []
    headed = {" ".join(column.header.split()): column.meaning for every in told_of for column in every.values()}
    terms = (f"<dt>{escape(word)}</dt><dd>{escape(text)}</dd>" for word, text in (headed | GLOSSARY).items())
    return ["<h2>What the numbers mean</h2>", "<dl>", *terms, "</dl>"]


def _title(runs: Sequence[RecordedRun]) -> str:
    names = list(dict.fromkeys(run.folder.resolve().parent.name for run in runs))
    return shorten(f"{'Study' if len(names) == 1 else 'Studies'} {printable(', '.join(names))}", 120, placeholder=" …")


def _counts(runs: Sequence[RecordedRun]) -> str:
    counts = Counter(run.status for run in runs)
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f'<p class="dim">{len(runs)} runs: {told}</p>'


def _section(section: Section, every: Columns, pictures: Sequence[Picture]) -> Iterator[str]:
    study, baseline, tuned = section.study, section.baseline, section.tuned
    if section.title:
        yield f"<h2>{escape(section.title)}</h2>"
    yield from _answer(section.sentences)
    if study.common:
        yield f'<p class="dim">All runs: {_text(" ".join(study.common))}</p>'
    if tuned:
        yield '<p class="dim">Each technique at the settings that validation chose</p>'
        yield _table(*_arms(tuned, baseline, columns(tuned, baseline)))
    arms = _table(*_arms(study, baseline, every))
    yield from _folded(f"All {len(study.arms)} settings", [arms]) if tuned else [arms]
    yield from _effects(study)
    yield from _figures(pictures)


def _answer(sentences: Sequence[str], kind: str = "answer") -> list[str]:
    if not sentences:
        return []
    return [f'<section class="{kind}">', *(f"<p>{_text(line)}</p>" for line in sentences), "</section>"]


def _folded(summary: str, parts: Sequence[str]) -> list[str]:
    return [f"<details><summary>{escape(summary)}</summary>", *parts, "</details>"]


def _arms(study: Study, baseline: Arm | None, every: Columns) -> tuple[dict[str, str], list[list[Cell]]]:
    headers = {column.header.strip(): column.meaning for column in every.values()}
    rows = [list(row) for row in zip(*(column.cells for column in every.values()), strict=True)]
    for row, mark in zip(rows, marks(study, baseline), strict=True):
        row[0] = Cell(f"{mark} {row[0].text}".strip())
    return headers, rows


def _effects(study: Study) -> list[str]:
    main, pairs = main_effects(study), interactions(study)
    if not main:
        return []
    factor, decimals = scale(study.metric)

    def cell(mean: float, half: float | None) -> Cell:
        return Cell(signed(factor * mean, None if half is None else factor * half, decimals), mean)

    rows = [[Cell(effect.name), cell(effect.mean, effect.half_width), NOTHING, NOTHING] for effect in main]
    for pair in pairs:
        parts = (pair.difference, pair.off, pair.on)
        rows.append([Cell(pair.difference.name), *(cell(part.mean, part.half_width) for part in parts)])
    unit = f"{'percentage points of ' * scale_of(study.metric).percent}validation {study.metric}"
    note = (
        f"Gains in {unit}, positive is better, with 95 % intervals over seeds. An interaction (×) is the gain of the "
        "first factor with the second on, minus its gain with the second off; negative: they help less together."
    )
    headers = dict.fromkeys(["factor", "gain", "second off", "second on"], note)
    return ["<h3>Effects and interactions</h3>", _table(headers, rows), f'<p class="dim">{escape(note)}</p>']


def _runs(told: Content) -> tuple[Mapping[str, str], list[list[Cell]]]:
    def cell(value: float | None, form: str = ".4f") -> Cell:
        return NOTHING if value is None else Cell(format(value, form), value)

    rows: list[list[Cell]] = []
    for run in told.runs:
        metric = next((name for name in ("accuracy", "rmse") if run.metric("val", name) is not None), "loss")
        own = told.settings.get(run.folder, {}).items()
        what = " ".join(f"{key}={value}" for key, value in own) or printable(run.folder.name)
        errors = [run.metric(split, metric) for split in ("val", "test")]
        rows.append(
            [
                Cell(what),
                cell(run.seed, "d"),
                Cell(run.status + (f": {run.reason}" if run.reason else "")),
                *(_error(value, metric) for value in errors),
                _gap(run.metric("gap", "loss")),
                cell(run.best_epoch, "d"),
                cell(run.seconds, ".1f"),
            ]
        )
    return RUNS, rows


def _error(value: float | None, metric: str) -> Cell:
    if value is None:
        return NOTHING
    error = as_error(value, metric)
    return Cell(number(error, most=scale(metric)[1]), error)


def _gap(value: float | None) -> Cell:
    return NOTHING if value is None else Cell(brief(value, 3), value)


def _table(headers: Mapping[str, str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table; pointing at one of its `headers` tells what it means."""
    # The first column names the row; another one holds words where a cell has text and no number.
    words = {0, *(i for row in rows for i, cell in enumerate(row) if cell.value is None and cell.text not in MISSING)}
    kinds = ["words" if index in words else "number" for index in range(len(headers))]
    head = "".join(
        f'<th scope="col" class="{kind}" title="{escape(meaning)}">{escape(name)}</th>'
        for (name, meaning), kind in zip(headers.items(), kinds, strict=True)
    )
    body = "\n".join(f"<tr{_marked(row)}>{''.join(map(_cell, row, kinds))}</tr>" for row in rows)
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _marked(row: Sequence[Cell]) -> str:
    return ' class="best"' if row[0].text.startswith(BEST) else ""


def _cell(cell: Cell, kind: str) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value:.10g}"'
    return f'<td class="{kind}"{value}>{_text(cell.text)}</td>'


def _text(text: str) -> str:
    """Escaped, and without a line break inside a number such as 1e-5."""
    if "-" not in text:  # of most cells; the search takes a while
        return escape(text)
    return re.sub(r"\S{0,30}\d-\d\S{0,30}|\S{0,30}e-\d\S{0,30}", r'<span class="whole">\g<0></span>', escape(text))


def _figures(pictures: Sequence[Picture]) -> list[str]:
    return ['<div class="figures">', *map(_figure, pictures), "</div>"] if pictures else []


def _figure(picture: Picture) -> str:
    name, caption = escape(picture.name), escape(picture.caption)
    source = f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
    return (
        f'<figure id="{name}"><img src="{source}" alt="{name}: {caption}">'
        f"<figcaption>{_text(picture.caption)}</figcaption></figure>"
    )
