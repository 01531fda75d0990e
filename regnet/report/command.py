"""`regnet-report`: the report of the runs that lie in folders."""

# What is slow to import waits until it is needed: --help must answer at once.
import argparse
import os
import re
import sys
from collections.abc import Sequence
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..core.console import printable
from ..core.ending import exit_codes
from ..core.errors import UserError
from ..run.record import runs_in

if TYPE_CHECKING:
    from .content import Content


STDOUT = Path("-")


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one sentence, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        _stop(f"{message} ({self.prog} --help shows what it takes)")


@exit_codes()
def main(argv: Sequence[str] | None = None) -> None:
    """Print the report of the folders in `argv`; a user's mistake is one sentence and exit code 1."""
    parser = Parser(
        prog="regnet-report",
        description="Compare the runs in FOLDER and below: each technique's score over seeds, and the best.",
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="study or run; several are merged")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="also write one row for each run")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the answers as data; - prints only them")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="also save what is printed as a picture")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where report.html and figures/ go (first FOLDER)")
    parser.add_argument("--no-page", action="store_true", help="print only: write no report.html, no figures")
    parser.add_argument("--latex", metavar="FILE", type=Path, help="also write the tables for a paper (booktabs)")
    parser.add_argument("--tensorboard", metavar="DIR", type=Path, help="also link the runs under short names there")
    parser.add_argument("--baseline", metavar="NAME", help="the row to compare with; without it, `none`")
    parser.add_argument("--anytime", action="store_true", help="intervals that hold however often one looked")
    parser.add_argument("--margin", metavar="X", help="the difference that does not matter, such as 0.005 of accuracy")
    parser.add_argument(
        "--metric",
        metavar="NAME",
        action="append",
        default=[],
        help="judge by this one, such as nll or brier; test/NAME and others with a slash are shown besides",
    )
    parser.add_argument("--against", metavar="NAME", help="also compare in both, such as brier, operations or zeros")
    arguments = parser.parse_args(argv)
    os.environ["MPLBACKEND"] = "agg"  # a notebook's own is not there for its commands
    try:
        from .content import content

        runs, margin = runs_in(arguments.folders), _margin(arguments.margin)
        told = content(runs, arguments.baseline, arguments.metric, margin, arguments.anytime, arguments.against)
        if arguments.csv:  # before the report is printed: `| head -3` ends the program there
            from .export import write_csv

            write_csv(told.runs, arguments.csv)
        if arguments.latex:
            from .latex import write_latex

            write_latex(told, arguments.latex)
        if arguments.tensorboard:
            from .tensorboard import link

            link(told.runs, arguments.tensorboard)
        if arguments.json:
            from .document import write_json

            write_json(told, arguments.json)
        if arguments.json != STDOUT:
            show(told, arguments.svg)
        sys.stdout.flush()
        if not told.sections:  # nothing that could be read
            sys.exit(1)
        if not arguments.no_page:
            from .publish import publish

            page = publish(told, arguments.out or arguments.folders[0])
            if arguments.json != STDOUT:
                print(f"\nThe page: {page}")
    except UserError as error:
        _stop(str(error))


def _margin(text: str | None) -> float | None:
    """Raises UserError where it is no number above 0."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 < value < inf:
        raise UserError(f"--margin {text} must be a number above 0, in the unit of the metric: 0.005 of accuracy.")
    return value


def _stop(sentence: str) -> NoReturn:
    print(f"regnet-report: {printable(sentence)}", file=sys.stderr)
    sys.exit(1)


def show(told: "Content", picture: Path | None = None) -> None:
    """Print the answers and tables to standard output, 100 columns wide where that is not a terminal.

    Raises:
        UserError: the picture cannot be written.
    """
    from ..core.console import plain_console
    from .table import print_report

    console = plain_console(width=None if sys.stdout.isatty() else 100, record=picture is not None)
    print_report(told, console)
    if picture is not None:
        try:
            svg = console.export_svg(title=f"regnet-report {printable(str(told.runs[0].folder.parent))}")
            # without rich's web fonts: a picture asks no host for anything
            picture.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--svg {picture} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    main()
