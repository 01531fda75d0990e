"""A study as a table to read in a terminal or in a file."""

import os
from collections import Counter
from collections.abc import Sequence
from textwrap import shorten

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..console import printable
from ..runs import Run
from .columns import BEST, columns, marks
from .content import Content
from .study import Arm, Study

SHOWN = ("runs", "validation", "test", "gain", "gap", "gap loss", "sparse", "seconds")  # what 80 columns can hold
MOST = 100  # rows, and the baseline: a search may have hundreds, and the answer above them must stay in reach
NAMED = 10  # runs named one by one: a broken sweep of hundreds must not bury its table


def print_report(told: Content, console: Console) -> None:
    """Print each study's answer and table, then how to read them, then the runs that gave no result.

    Where a technique was tried with several settings, a table of techniques comes first, each with the settings
    that validation chose, and then that of all arms.
    """
    blank = Text()
    for section in told.sections:
        if section.title:
            console.print(Text(section.title, style="bold underline"))
        if section.answer:
            console.print(Text("\n".join(section.sentences), style="bold"), blank, sep="\n")
        if section.tuned:
            console.print(Text("each technique with the settings that validation chose", style="dim"))
            console.print(table(section.tuned, section.baseline), blank, Text("all settings", style="dim"), sep="\n")
        console.print(table(section.study, section.baseline), "")
    if told.ranking:
        console.print(Text(told.ranking.sentence()), blank, sep="\n")
    if told.sections:
        console.print(Text(legend(told.studies), style="dim"))
    for line in left_out(told.runs, told.studies):
        console.print(Text(line), soft_wrap=True)


def table(study: Study, baseline: Arm | None = None) -> Table:
    """One row for each arm; ★ marks the one that validation chooses. Gains are over `baseline`, else over it."""
    # Text and not str throughout: rich takes the brackets of `regularizer=[dropout,l2]` for its markup.
    title = Text("all runs: " + " ".join(study.common), style="dim") if study.common else None
    every = columns(study, baseline)
    shown = {key: every[key] for key in SHOWN if key in every}
    grid = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", show_edge=False, padding=0)
    grid.add_column("\n ")
    grid.add_column("\ntechnique", overflow="fold")
    for column in shown.values():
        header = f"{column.name}\n{column.unit}" if column.unit else f"\n{column.name}"
        grid.add_column(header, justify="right", no_wrap=True)
    for index, (arm, mark) in enumerate(zip(study.arms, marks(study, baseline), strict=True)):
        if index >= MOST and not mark:
            continue
        name = Text(arm.label)
        if not arm.completed:
            name.append("\n" + _why(arm), style="dim")
        cells = (Text(_aligned(key, column.cells[index].text)) for key, column in shown.items())
        grid.add_row(mark, name, *cells, style="bold" if mark == BEST else "")
    if len(study.arms) > MOST:
        grid.caption = Text(f"the best {MOST} of {len(study.arms)}; all are on the page and in --csv", style="dim")
        grid.caption_justify = "left"
    return grid


def legend(compared: Sequence[Study]) -> str:
    """What the numbers mean, in sentences."""
    metrics = " or ".join(dict.fromkeys(study.metric for study in compared))
    return (
        f"★ best mean validation {metrics}, first among rows whose runs all completed, with three runs or more than "
        "half as many as any other; test takes no part in the choice. ± is the 95 % Student t interval over seeds "
        "(over splits where there are as many); a single one has none. gain: on test over the baseline ○, or over ★ "
        "where there is no other, by pairs of the same seed and split; + is better; * differs: paired t test, p < 0.05 "
        "corrected for the rows (Holm). gap: by how much validation is worse than train. runs: completed / all. s: "
        "mean seconds a run."
    )


def left_out(runs: Sequence[Run], compared: Sequence[Study]) -> list[str]:
    """One line for the counts and one for each run without a result: its status, folder and reason."""
    kept = {run.folder for study in compared for arm in study.arms for run in arm.runs}
    without = [run for run in runs if run.status == "damaged" or (run.folder in kept and run.status != "completed")]
    repeated = sum(run.status != "damaged" and run.folder not in kept for run in runs)
    lines = []
    if without:
        counts = Counter(run.status for run in without)
        parts = ", ".join(f"{count} {status}" for status, count in counts.items())
        lines.append(f"Not in the means, of {len(runs)} runs: {parts}.")
        above = os.path.commonpath([run.folder.resolve().parent for run in runs])
        for run in without[:NAMED]:
            reason = " ".join((run.reason or "no reason recorded").split())
            lines.append(f"  {run.status}  {printable(os.path.relpath(run.folder.resolve(), above))}: {reason}")
        if len(without) > NAMED:
            lines.append(f"  and {len(without) - NAMED} more")
    if repeated:
        lines.append(f"Repeated with the same settings and seed, the newest is taken: {repeated} left out.")
    return lines


def _aligned(key: str, text: str) -> str:
    """So that digits stand below each other, whatever has an interval or a star."""
    if key in ("validation", "test"):
        return f"{text:>13}"
    return f"{text} " if key == "gain" and not text.endswith("*") else text


def _why(arm: Arm) -> str:
    run = arm.runs[0]
    return shorten(f"{run.status}: {run.reason or 'no reason recorded'}", 60, placeholder=" …")
