"""report.html and the files of its figures, written beside the study."""

import gc
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.files import write
from ..core.forked import forked_map
from ..run.record import read_text
from .content import Content
from .page import Picture, html

if TYPE_CHECKING:
    from .figures import Drawn

PAGE, FIGURES = "report.html", "figures"


def publish(told: Content, folder: Path) -> Path:
    """Write `folder/report.html` and `folder/figures/*.pdf` and `*.png`, in place of earlier ones.

    Figures that the earlier page had and this one has not are deleted; other files are left alone.

    Returns:
        The path of the page.

    Raises:
        UserError: the folder cannot be written.
    """
    page, figures = folder / PAGE, folder / FIGURES
    try:
        if figures.is_symlink():
            raise UserError(
                f"{figures} is a link, through which files elsewhere would be written: --out DIR says where."
            )
        figures.mkdir(parents=True, exist_ok=True)
        before = _figures_of(page)
        pictures = _drawn(told, figures)
        write(page, html(told, pictures).encode("utf-8", "replace"))
        for name in before - {picture.name for picture in pictures}:
            for file in (figures / f"{name}.png", figures / f"{name}.pdf"):
                file.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{page} cannot be written ({error.strerror}): --out DIR writes elsewhere.") from error
    return page


def _drawn(told: Content, folder: Path) -> list[Picture]:
    """Draw and write the figures."""
    # Imported here because matplotlib takes half a second.
    from .figures import draw, saved
    from .figures.style import styled

    def picture(drawn: "Drawn") -> Picture:
        files = saved(drawn.figure)
        for kind, content in files.items():
            write(folder / f"{drawn.name}.{kind}", content)
        return Picture(drawn.name, drawn.caption, files["png"], drawn.study)

    gc.disable()  # a sixth of the time, with all the objects that a figure is made of
    try:
        with styled():
            return forked_map(picture, draw(told.studies, told.baseline))
    finally:
        gc.enable()


def _figures_of(page: Path) -> set[str]:
    """The names of the figures that an earlier page shows."""
    try:
        return set(re.findall(r'<figure id="([\w.-]+)"', read_text(page)))
    except (OSError, ValueError):
        return set()
