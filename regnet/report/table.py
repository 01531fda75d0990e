"""A study as a table to read in a terminal or in a file."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from textwrap import shorten

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..runs import Run
from .answer import answer, sentences
from .compare import Comparison, check_baseline, compare, find_baseline
from .ranking import rank
from .statistics import mean_interval
from .study import Arm, Study, independent, studies

NAMED = 10  # runs named one by one: a broken sweep of hundreds must not bury its table
NOTHING = "–"


def print_report(runs: Sequence[Run], console: Console, baseline: str | None = None) -> None:
    """Print each study's answer and table, then how to read them, then the runs that gave no result.

    Where a technique was tried with several settings, a table of techniques comes first, each with the settings
    that validation chose, and then that of all arms.

    Raises:
        UserError: the baseline is not among the runs.
    """
    compared = studies(runs)
    if baseline is not None:
        check_baseline(compared, baseline)
    for study in compared:
        reference = find_baseline(study, baseline)
        if found := answer(study, reference):
            console.print(Text("\n".join(sentences(found)), style="bold"), "")
        tuned = study.tuned(*[reference] if reference else [])
        if 1 < len(tuned.arms) < len(study.arms):
            console.print(Text("each technique with the settings that validation chose", style="dim"))
            console.print(table(tuned, reference), "", Text("all settings", style="dim"))
        console.print(table(study, reference), "")
    if ranking := rank(compared):
        console.print(Text(ranking.sentence()), "")
    if compared:
        console.print(Text(legend(compared), style="dim"))
    for line in left_out(runs, compared):
        console.print(Text(line), soft_wrap=True)


def table(study: Study, baseline: Arm | None = None) -> Table:
    """One row for each arm; ★ marks the one that validation chooses. Gains are over `baseline`, else over it."""
    # Text and not str throughout: rich takes the brackets of `regularizer=[dropout,l2]` for its markup.
    title = Text("all runs: " + " ".join(study.common), style="dim") if study.common else None
    best = study.best()
    reference = baseline or best
    gains = {pair.arm.label: pair for pair in compare(study, reference)} if reference else {}
    grid = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", show_edge=False, padding=0)
    grid.add_column("\n ")
    grid.add_column("\ntechnique", overflow="fold")
    for header in _headers(study.metric, "baseline" if baseline else "★"):
        grid.add_column(header, justify="right", no_wrap=True)
    for arm in study.arms:
        name = Text(arm.label)
        if not arm.completed:
            name.append("\n" + _why(arm), style="dim")
        mark = "★" if arm is best else "○" if arm is baseline else ""
        gain = "" if arm is reference else _gain(gains.get(arm.label))
        grid.add_row(mark, name, *map(Text, _cells(arm, study.metric, gain)), style="bold" if arm is best else "")
    return grid


def legend(compared: Sequence[Study]) -> str:
    """What the numbers mean, in sentences."""
    metrics = " or ".join(dict.fromkeys(study.metric for study in compared))
    return (
        f"★ best mean validation {metrics}, first among rows whose runs all completed; test takes no part in the "
        "choice. ± is the 95 % Student t interval over seeds (over splits where those are more); a single one has "
        "none. gain: on test over the baseline ○, or over ★ without one, by pairs of the same seed and split; + is "
        "better; * differs: paired t test, p < 0.05 corrected for the rows (Holm). gap: by how much validation is "
        "worse than train. runs: completed / all. s: mean seconds a run."
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
            lines.append(f"  {run.status}  {os.path.relpath(run.folder.resolve(), above)}: {reason}")
        if len(without) > NAMED:
            lines.append(f"  and {len(without) - NAMED} more")
    if repeated:
        lines.append(f"Repeated with the same settings and seed, the newest is taken: {repeated} left out.")
    return lines


def number(mean: float, half_width: float | None, most: int = 4) -> str:
    """`97.22 ± 0.35`: the half width to two significant digits, at most `most` decimals, the mean alike."""
    if half_width is None:
        return f"{mean:.{most}f}"
    decimals = most if half_width == 0 else min(most, max(0, 1 - math.floor(math.log10(half_width))))
    return f"{mean:.{decimals}f} ± {half_width:.{decimals}f}"


def _headers(metric: str, reference: str) -> list[str]:
    unit, gap = ("acc %", "acc pp") if metric == "accuracy" else (metric, metric)
    gaps = list(dict.fromkeys([f"gap\n{gap}", "gap\nloss"]))
    return ["\nruns", f"validation\n{unit}", f"test\n{unit}", f"gain over\n{reference} ", *gaps, "sparse\n%", "\ns"]


def _cells(arm: Arm, metric: str, gain: str) -> list[str]:
    percent, decimals = _scale(metric)

    def interval(split: str) -> str:
        values = [percent * value for value in independent(arm.measured(split, metric))]
        return f"{number(*mean_interval(values), most=decimals):>13}" if values else NOTHING

    def mean(values: list[float], form: str, scale: float = 1) -> str:
        return format(scale * mean_interval(values)[0], form) if values else NOTHING

    gaps = {"loss": mean(arm.values("gap", "loss"), ".3f")}
    if metric != "loss":
        gaps = {metric: mean(arm.values("gap", metric), ".1f" if percent == 100 else ".3f", percent)} | gaps
    return [
        f"{len(arm.completed)}/{len(arm.runs)}",
        interval("val"),
        interval("test"),
        gain,
        *gaps.values(),
        mean(arm.values("sparsity"), ".1f", 100),
        NOTHING if arm.seconds is None else f"{arm.seconds:.1f}",
    ]


def _gain(pair: Comparison | None) -> str:
    if pair is None or pair.interval is None:
        return NOTHING + " "
    percent, decimals = _scale(pair.metric)
    mean, half = pair.interval
    text = number(percent * mean, None if half is None else percent * half, decimals)
    return f"{'' if text.startswith('-') else '+'}{text}{'*' if pair.distinguishable else ' '}"


def _scale(metric: str) -> tuple[int, int]:
    return (100, 2) if metric == "accuracy" else (1, 4)  # the factor, and the most decimals


def _why(arm: Arm) -> str:
    run = arm.runs[0]
    return shorten(f"{run.status}: {run.reason or 'no reason recorded'}", 60, placeholder=" …")
