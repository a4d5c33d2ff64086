"""What people read on a terminal: plain text as it is, and tables no wider than their window."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

NAME_WIDTH = 26  # longest line of a cell in the first column, unless a single word is longer
UNBOUNDED = 10_000  # wider than any table


class Screen(Console):
    """A terminal that shows every text as it is: brackets are no markup, what is invisible shows.

    Names and texts come from files that nobody vouches for; an escape sequence in one of them
    would move the cursor, change colours or rewrite what stands above.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich calls this for every string."""
        return super().render_str(visible(text), **options)


def visible(text: str) -> str:
    """A text whose control characters are written out, as \\x1b; new lines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def print_table(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[str]], *, total: bool = False
) -> None:
    """Print a table; columns that do not fit beside each other go into tables below each other.

    Every one of these tables repeats the first column.

    Args:
        console: where the table appears; its width decides.
        header: titles of the columns, plain text.
        rows: cells of each row, plain text; a cell may have several lines.
        total: whether the last row stands apart from the others.
    """
    for columns in _blocks(console, header, rows):
        console.print(_table(header, rows, columns, total))


def _blocks(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterator[list[int]]:
    """Divide the columns into tables that fit: yield the columns of each."""
    columns = [0]
    for i in range(1, len(header)):
        wider = _width(console, _table(header, rows, [*columns, i])) > console.width
        if wider and len(columns) > 1:
            yield columns
            columns = [0]
        columns.append(i)
    yield columns


def _width(console: Console, table: Table) -> int:
    options = console.options.update(max_width=UNBOUNDED)
    return Measurement.get(console, options, table).maximum


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: Sequence[int],
    total: bool = False,
) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for i in columns:
        words = any(row[i][:1].isalpha() for row in rows)
        side: JustifyMethod = "left" if words else "right"
        table.add_column(_cell(header[i], i), justify=side, overflow="fold")
    for row in rows:
        if total and row is rows[-1]:
            table.add_section()
        table.add_row(*(_cell(row[i], i) for i in columns))
    return table


def _cell(text: str, column: int) -> Text:
    """Make plain text of a cell; lines of the first column end at ``NAME_WIDTH``."""
    if column == 0:
        lines = (
            textwrap.wrap(line, NAME_WIDTH, break_long_words=False) for line in text.split("\n")
        )
        text = "\n".join("\n".join(line) for line in lines)
    return Text(visible(text))
