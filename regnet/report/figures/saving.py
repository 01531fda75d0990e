"""A figure as files for a page and for a paper."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from .letters import without_rules

COMPRESSION = 3  # of PNG, from 0 to 9: above it files get a tenth smaller, and compressing takes half as long again


def saved(figure: Figure) -> dict[str, bytes]:
    """The figure as "png" and "pdf", within `styled`; the same figure gives the same bytes."""
    # savefig would find the layout again for each format, and draw everything twice to do so.
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
    figure.set_layout_engine("none")
    png, pdf = io.BytesIO(), io.BytesIO()
    FigureCanvasAgg(figure).print_png(png, pil_kwargs={"compress_level": COMPRESSION})
    with without_rules():
        FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})
    return {"png": png.getvalue(), "pdf": pdf.getvalue()}
