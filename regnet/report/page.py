"""report.html: a study as one file that needs no network and no scripts."""

import base64
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import fmean

from ..runs import Run
from .effects import interactions, main_effects
from .statistics import mean_interval
from .study import Study, settings, studies
from .sweep import as_error
from .table import left_out, legend, number

NOTHING = "–"
HERE = Path(__file__).parent


def html(
    runs: Sequence[Run], pictures: Sequence[tuple[str, str, bytes]], title: str, answer: Sequence[str] = ()
) -> str:
    """The whole page.

    Args:
        runs: all that were found, those without a result too.
        pictures: name, caption and SVG or PNG file of each figure.
        title: names the study.
        answer: what the study says, a sentence or two each.
    """
    compared = studies(runs)
    parts = [f"<h1>{escape(title)}</h1>"]
    if answer:
        parts += ['<section class="answer">', *(f"<p>{escape(line)}</p>" for line in answer), "</section>"]
    for study in compared:
        if study.common:
            parts.append(f'<p class="dim">all runs: {escape(" ".join(study.common))}</p>')
        parts.append(_table(*_arms(study)))
        parts += _effects(study)
    lost = left_out(runs, compared)
    if pictures:
        parts += ["<h2>Figures</h2>", *(_figure(*picture) for picture in pictures)]
    parts += [f"<details><summary>All {len(runs)} runs</summary>", _table(*_runs(runs)), "</details>"]
    if lost:
        parts += ["<h2>Without a result</h2>", *(f"<p>{escape(line)}</p>" for line in lost)]
    if compared:
        parts += ["<h2>How the numbers are made</h2>", f"<p>{escape(legend(compared))}</p>"]
    style, script = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + f"\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def write(path: Path, content: str | bytes) -> None:
    """Write the file atomically: a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


Cell = tuple[str, float | None]  # what is read, and what it is sorted by if that is a number


def _arms(study: Study) -> tuple[list[str], list[list[Cell]]]:
    percent, decimals = (100, 2) if study.metric == "accuracy" else (1, 4)
    unit = "acc %" if study.metric == "accuracy" else study.metric
    best = study.best()

    def interval(values: Sequence[float]) -> Cell:
        if not values:
            return NOTHING, None
        mean, half = mean_interval(values)
        return number(mean, half, most=decimals), mean

    def plain(values: Sequence[float], form: str) -> Cell:
        return (format(fmean(values), form), fmean(values)) if values else (NOTHING, None)

    rows: list[list[Cell]] = []
    for arm in study.arms:
        seconds = [run.seconds for run in arm.completed if run.seconds is not None]
        zeros = arm.values("zeros") or arm.values("sparsity")
        rows.append(
            [
                (("★ " if arm is best else "") + arm.label, None),
                (f"{len(arm.completed)}/{len(arm.runs)}", len(arm.completed)),
                interval([percent * value for value in arm.values("val", study.metric)]),
                interval([percent * value for value in arm.values("test", study.metric)]),
                plain(arm.values("gap", "loss"), ".3f"),
                plain([100 * value for value in zeros], ".1f"),
                plain(seconds, ".1f"),
            ]
        )
    headers = ["technique", "runs", f"validation {unit}", f"test {unit}", "gap loss", "zeros %", "seconds"]
    return headers, rows


def _effects(study: Study) -> Iterable[str]:
    main, pairs = main_effects(study), interactions(study)
    if not main:
        return []
    percent, decimals = (100, 2) if study.metric == "accuracy" else (1, 4)

    def cell(mean: float, half: float | None) -> Cell:
        shown = number(percent * mean, None if half is None else percent * half, most=decimals)
        return ("" if mean < 0 else "+") + shown, mean

    rows = [[(effect.name, None), cell(effect.mean, effect.half_width), ("", None), ("", None)] for effect in main]
    for pair in pairs:
        parts = (pair.difference, pair.off, pair.on)
        rows.append([(pair.difference.name, None), *(cell(part.mean, part.half_width) for part in parts)])
    unit = "points of validation accuracy" if study.metric == "accuracy" else f"validation {study.metric} saved"
    note = (
        f"Effects in {unit}, more is better, with 95 % intervals over seeds. An interaction (×): what the first gains "
        "where the second is on, less what it gains where that is off: below 0, they help less together."
    )
    headers = ["factor", "effect", "second off", "second on"]
    return ["<h2>Effects and interactions</h2>", _table(headers, rows), f'<p class="dim">{escape(note)}</p>']


def _runs(runs: Sequence[Run]) -> tuple[list[str], list[list[Cell]]]:
    def cell(value: float | None, form: str = ".4f") -> Cell:
        return (NOTHING, None) if value is None else (format(value, form), value)

    rows: list[list[Cell]] = []
    for run in runs:
        metric = next((name for name in ("accuracy", "rmse") if run.metric("val", name) is not None), "loss")
        what = " ".join(f"{key}={value}" for key, value in settings(run).items()) or run.folder.name
        errors = [run.metric(split, metric) for split in ("val", "test")]
        rows.append(
            [
                (what, None),
                cell(run.seed, "d"),
                (run.status + (f": {run.reason}" if run.reason else ""), None),
                *(cell(None if value is None else as_error(value, metric), ".2f") for value in errors),
                cell(run.metric("gap", "loss"), ".3f"),
                cell(run.best_epoch, "d"),
                cell(run.seconds, ".1f"),
            ]
        )
    headers = ["settings", "seed", "status", "validation error", "test error", "gap loss", "best epoch", "seconds"]
    return headers, rows


def _table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _cell(cell: Cell) -> str:
    shown, value = cell
    if value is None:
        return f'<td class="{"number" if shown == NOTHING else "words"}">{escape(shown)}</td>'
    return f'<td class="number" data-value="{value:.10g}">{escape(shown)}</td>'


def _figure(name: str, caption: str, picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "svg+xml"
    source = f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
    return (
        f'<figure><img src="{source}" alt="{escape(name)}: {escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
