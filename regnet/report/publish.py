"""report.html and the files of its figures, written beside the study."""

import io
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..runs import Run
from .answer import answer, sentences
from .compare import find_baseline
from .page import html, write
from .study import studies

PAGE, FIGURES = "report.html", "figures"


def publish(runs: Sequence[Run], folder: Path, baseline: str | None = None) -> Path:
    """Write `folder/report.html` and `folder/figures/*.pdf` and `*.png`, in place of earlier ones.

    Returns:
        The path of the page.

    Raises:
        UserError: the folder cannot be written.
    """
    # Imported here because matplotlib takes half a second.
    from .figures import draw
    from .figures.style import styled

    try:
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
        pictures = []
        with styled():
            for drawn in draw(studies(runs)):
                # The layout is found once and not again for each format.
                drawn.figure.draw_without_rendering()
                drawn.figure.set_layout_engine("none")
                files = {kind: _saved(drawn.figure, kind) for kind in ("svg", "png", "pdf")}
                for kind in ("png", "pdf"):
                    write(folder / FIGURES / f"{drawn.name}.{kind}", files[kind])
                # A picture of thousands of points is smaller as pixels.
                smaller = "png" if len(files["svg"]) > 3 * len(files["png"]) else "svg"
                pictures.append((drawn.name, drawn.caption, files[smaller]))
        write(folder / PAGE, html(runs, pictures, f"Study {folder.resolve().name}", _answers(runs, baseline)))
    except OSError as error:
        raise UserError(f"{folder / PAGE} cannot be written ({error.strerror}): --out DIR writes elsewhere.") from error
    return folder / PAGE


def _answers(runs: Sequence[Run], baseline: str | None) -> list[str]:
    """What each study says, in one paragraph."""
    found = [answer(study, find_baseline(study, baseline)) for study in studies(runs)]
    return [" ".join(sentences(one)) for one in found if one]


def _saved(figure, kind: str) -> bytes:
    file = io.BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    figure.savefig(file, format=kind, metadata=dates[kind])
    return file.getvalue()
