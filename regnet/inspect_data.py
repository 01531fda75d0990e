"""What `regnet-inspect` tells of a table's file: what each column was made into."""

from rich import box
from rich.table import Table
from rich.text import Text

from .data import DataModule


def columns(data: DataModule) -> Table:
    """Column x what it becomes x its missing values x its first ones; no rows for data that are no such file."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    for column in ("column", "becomes", "missing", "first values"):
        table.add_column(column, overflow="fold")
    if data.description:
        table.title = Text(data.description.file)
        for row in data.description.rows:
            table.add_row(*(Text(str(cell)) for cell in row))
    return table
