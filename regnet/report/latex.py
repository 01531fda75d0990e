"""The tables of a report for a paper: LaTeX with booktabs."""

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..runs import Run
from .compare import check_baseline, compare, find_baseline
from .statistics import mean_interval
from .study import METRICS, Arm, Study, independent, studies
from .table import number

ESCAPED = {char: "\\" + char for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "λ": r"$\lambda$",
}


def write_latex(runs: Sequence[Run], path: Path, baseline: str | None = None) -> None:
    """One table for each study: arm, runs, validation, test, gain over the baseline; ± as in the terminal.

    Raises:
        UserError: the file cannot be written, or the baseline is not among the runs.
    """
    compared = studies(runs)
    if baseline is not None:
        check_baseline(compared, baseline)
    text = "% needs \\usepackage{booktabs}\n" + "\n".join(
        latex(study, find_baseline(study, baseline)) for study in compared
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--latex {path} cannot be written ({error.strerror}): name a file in a folder that exists."
        ) from error


def latex(study: Study, baseline: Arm | None = None) -> str:
    """The study as a `tabular`; the best mean of each split is bold, * marks a gain that differs."""
    percent, decimals = (100, 2) if study.metric == "accuracy" else (1, 4)
    reference = baseline or study.best()
    gains = {pair.arm.label: pair for pair in compare(study, reference)} if reference else {}

    def interval(values: Sequence[float], sign: str = "") -> str:
        if not values:
            return "--"
        mean, half = mean_interval([percent * value for value in values])
        text = number(mean, half, decimals)
        return f"${sign if mean >= 0 else ''}{text}$".replace("±", r"\pm")

    def top(split: str) -> float | None:
        means = (mean_interval(values)[0] for arm in study.arms if (values := _samples(arm, split, study.metric)))
        return min(means, key=lambda mean: METRICS[study.metric] * mean, default=None)

    tops = {split: top(split) for split in ("val", "test")}
    rows = []
    for arm in study.arms:
        cells = [escape(arm.label), str(len(arm.completed))]
        for split, best in tops.items():
            values = _samples(arm, split, study.metric)
            cell = interval(values)
            bold = values and mean_interval(values)[0] == best
            cells.append(rf"\boldmath{cell}" if bold else cell)
        pair = gains.get(arm.label)
        cells.append((interval(pair.gains, "+") + ("*" if pair.distinguishable else "")) if pair else "")
        rows.append(" & ".join(cells) + r" \\")
    unit = r" (\%)" if study.metric == "accuracy" else ""
    against = f"gain over {escape(reference.label)}" if reference else "gain"
    return "\n".join(
        [
            r"\begin{tabular}{lrrrr}",
            r"\toprule",
            f"technique & runs & validation {study.metric}{unit} & test {study.metric}{unit} & {against} \\\\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"% $\pm$: 95 \% Student t interval over seeds; *: p < 0.05, paired t test, Holm-corrected.",
            "",
        ]
    )


def escape(text: str) -> str:
    """`text` as LaTeX prints it."""
    return re.sub("|".join(map(re.escape, ESCAPED)), lambda match: ESCAPED[match.group()], text)


def _samples(arm: Arm, split: str, metric: str) -> list[float]:
    return independent(arm.measured(split, metric))
