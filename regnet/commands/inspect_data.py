"""What `regnet-inspect` tells of a table's file: what each column was made into."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..data import DataModule


def show_columns(console: Console, data: DataModule) -> None:
    """Column x what it becomes x its missing values x its first ones; nothing of data that are no such file."""
    if data.description is None:
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("column", "becomes", "missing", "first values"):
        table.add_column(column, overflow="fold")
    for row in data.description.rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(Text(data.description.file), soft_wrap=True)
    console.print(table, "")
