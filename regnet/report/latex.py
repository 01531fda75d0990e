"""The tables of a report for a paper: LaTeX with booktabs."""

import re
from pathlib import Path

from ..core.files import asked_for
from ..core.metrics import scale_of
from .columns import Cell, columns
from .content import Content
from .study import Arm, Study

ESCAPED = {char: "\\" + char for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "λ": r"$\lambda$",
}


def write_latex(told: Content, path: Path) -> None:
    """One table for each study: arm, runs, validation, test, gain over the baseline; ± as in the terminal.

    Raises:
        UserError: the file cannot be written.
    """
    tables = (latex(section.study, section.baseline, section.title) for section in told.sections)
    text = "% needs \\usepackage{booktabs}\n" + "\n".join(tables)
    with asked_for("--latex", path):
        path.write_text(text, encoding="utf-8")


def latex(study: Study, baseline: Arm | None = None, title: str = "") -> str:
    """The study as a `tabular`; the best mean of each split is bold, * marks a gain that differs."""
    every = columns(study, baseline)
    sign = scale_of(study.metric).sign

    def best(key: str) -> float | None:
        values = (cell.value for cell in every[key].cells if cell.value is not None)
        return min(values, key=lambda value: sign * value, default=None)

    def math(cell: Cell, best: float | None = None) -> str:
        if cell.value is None:
            return "--"
        text = re.sub(r"e(-?\d+)", r" \\cdot 10^{\1}", cell.text.rstrip("*")).replace("±", r"\pm")
        text = f"${text}$" + "*" * cell.text.endswith("*")
        return rf"\boldmath{text}" if cell.value == best else text

    tops = {key: best(key) for key in ("validation", "test")}
    shown = [key for key in ("validation", "test", "gain", "last") if key in every]
    rows = []
    for index, arm in enumerate(study.arms):
        cells = [escape(arm.label), str(len(arm.results(study.metric)))]
        cells += [math(every[key].cells[index], tops.get(key)) for key in shown]
        rows.append(" & ".join(cells) + r" \\")
    unit = r" (\%)" if scale_of(study.metric).percent else ""
    reference = baseline or study.best()
    against = f"gain over {escape(reference.label)}" if reference else "gain"
    last = " & at the last epoch" * ("last" in every)
    return "\n".join(
        [
            *([f"% {title}"] if title else []),
            rf"\begin{{tabular}}{{lr{'r' * len(shown)}}}",
            r"\toprule",
            f"technique & runs & validation {study.metric}{unit} & test {study.metric}{unit} & {against}{last} \\\\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"% $\pm$: 95 \% interval (Student t), of gains for all rows at once (Bonferroni); *: it excludes 0.",
            "",
        ]
    )


def escape(text: str) -> str:
    """`text` as LaTeX prints it."""
    return re.sub("|".join(map(re.escape, ESCAPED)), lambda match: ESCAPED[match.group()], text)
