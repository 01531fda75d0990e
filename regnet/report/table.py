"""A study as a table to read in a terminal or in a file."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import shorten

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core.console import printable
from ..run.record import RecordedRun
from .columns import BEST, columns, marks
from .compare import score
from .content import Content
from .study import Arm, Study

SHOWN = ("runs", "validation", "test", "gain", "last", "gap", "gap loss", "sparse", "cost", "seconds")
FIRST_TO_GO = ("seconds", "sparse", "gap loss", "runs", "cost", "gap", "last")  # where the terminal is narrow
MOST = 100  # rows, and the baseline: a search may have hundreds, and the answer above them must stay in reach
NAMED = 10  # runs that are named one by one, so that a broken sweep of hundreds does not bury its table


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
            console.print(Text("Each technique at the settings that validation chose", style="dim"))
            console.print(table(section.tuned, section.baseline, console.width), blank, sep="\n")
            console.print(Text("All settings", style="dim"))
        console.print(table(section.study, section.baseline, console.width), "")
    if told.ranking:
        console.print(Text(told.ranking.sentence()), blank, sep="\n")
    if told.sections:
        console.print(Text(legend(told.studies), style="dim"))
    for line in left_out(told.runs, told.studies):
        console.print(Text(line), soft_wrap=True)


def table(study: Study, baseline: Arm | None = None, width: int = 100) -> Table:
    """One row for each arm; ★ marks the one that validation chooses. Gains are over `baseline`, else over it.

    Args:
        width: of the terminal, in letters. The names of the techniques come first; columns for which they leave no room
            are named below the table.
    """
    # Text and not str throughout: rich takes the brackets of `regularizer=[dropout,l2]` for its markup.
    title = Text("All runs: " + " ".join(study.common), style="dim") if study.common else None
    every = columns(study, baseline)
    wanted = [key for key in every if key in SHOWN or key.startswith("metric ")]
    texts = {key: _aligned([cell.text for cell in every[key].cells]) for key in wanted}
    widths = {key: max(map(len, [*every[key].header.split("\n"), *cells])) + 1 for key, cells in texts.items()}
    names = [every["technique"].header.strip(), *(arm.label for arm in study.arms)]
    shown = fitting(widths, width - 2, list(map(len, names)))
    grid = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", show_edge=False, padding=0)
    grid.add_column("\n ")
    grid.add_column(every["technique"].header, overflow="fold")
    for key in shown:
        grid.add_column(every[key].header, justify="right", no_wrap=True)
    for index, (arm, mark) in enumerate(zip(study.arms, marks(study, baseline), strict=True)):
        if index >= MOST and not mark:
            continue
        name = Text(arm.label)
        if not arm.completed:
            name.append("\n" + _why(arm), style="dim")
        grid.add_row(mark, name, *(Text(texts[key][index]) for key in shown), style="bold" if mark == BEST else "")
    notes = [f"the best {MOST} of {len(study.arms)}; all are on the page and in --csv"] * (len(study.arms) > MOST)
    if missing := [" ".join(every[key].header.split()) for key in texts if key not in shown]:
        notes.append(f"not shown at this width: {', '.join(missing)}")
    if notes:
        grid.caption, grid.caption_justify = Text("; ".join(notes), style="dim"), "left"
    return grid


def fitting(widths: Mapping[str, int], room: int, labels: Sequence[int]) -> list[str]:
    """The columns that stand beside the labels, or beside half the room where labels are longer than that."""
    shown = list(widths)
    left = room - min(max(labels), room // 2)
    for key in FIRST_TO_GO:
        if key in shown and sum(widths[name] for name in shown) > left:
            shown.remove(key)
    return shown


def legend(compared: Sequence[Study]) -> str:
    """What the signs in the tables mean, in few words."""
    metrics = " or ".join(dict.fromkeys(study.metric for study in compared))
    signs = [f"★ best on validation ({metrics})", "○ baseline"]
    arms = [(study, arm) for study in compared for arm in study.arms]
    if any(found.known for study, arm in arms if (found := score(arm, "val", study.metric))):
        signs += ["± 95 % interval, of gains for the whole table at once", "* decided: the interval excludes 0"]
    signs.append("gap: how much worse validation is than training")
    if any(arm.operations for _, arm in arms):
        signs.append("cost: operations of training")
    return "; ".join(signs) + "."


def left_out(runs: Sequence[RecordedRun], compared: Sequence[Study]) -> list[str]:
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


def _aligned(texts: Sequence[str]) -> list[str]:
    """So that digits stand below each other, whatever has an interval or a star."""
    starred = any(text.endswith("*") for text in texts)
    padded = [text + " " * (starred and not text.endswith("*")) for text in texts]
    tail = max((len(text) - text.index(" ±") for text in padded if " ±" in text), default=0)
    return [text if not tail or " ±" in text or not text.strip() else text.rstrip() + " " * tail for text in padded]


def _why(arm: Arm) -> str:
    run = arm.runs[0]
    return shorten(f"{run.status}: {run.reason or 'no reason recorded'}", 60, placeholder=" …")
