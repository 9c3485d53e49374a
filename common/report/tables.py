"""Tables that can be printed on a terminal, in Markdown and in HTML."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from rich.table import Table as RichTable

NOTHING = "-"  # where there is no number

@dataclass
class Table:
    """A table of texts.

    Attributes:
        title: One line.
        header: Column names.
        rows: As many texts a row as there are columns.
        texts: Number of leading columns that hold text; the others hold numbers and are set to the right.
        lines_after: Numbers of rows that end a group.
    """

    title: str
    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    texts: int = 1
    lines_after: set[int] = field(default_factory=set)

    def add(self, *row: str) -> None:
        """Append a row.

        Raises:
            ValueError: If it has another number of columns than the header.
        """
        if len(row) != len(self.header):
            raise ValueError(f"{self.title}: a row of {len(row)} columns, the header has {len(self.header)}")
        self.rows.append(row)

    def end_group(self) -> None:
        """Draw a line below the last row."""
        self.lines_after.add(len(self.rows) - 1)

    def without_empty_columns(self) -> "Table":
        """Return the table without the columns of numbers that hold nothing but dashes: classes that do not occur."""
        width = range(len(self.header))
        kept = [i for i in width if i < self.texts or any(row[i] != NOTHING for row in self.rows)]
        rows = [tuple(row[i] for i in kept) for row in self.rows]
        return Table(self.title, [self.header[i] for i in kept], rows, self.texts, set(self.lines_after))

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown."""
        marks = ["---" if i < self.texts else "---:" for i in range(len(self.header))]
        lines = [self.header, marks, *([cell.replace("|", "\\|") for cell in row] for row in self.rows)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def html(self) -> str:
        """Return the table as an HTML element."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.header)
        body = []
        for number, row in enumerate(self.rows):
            cells = [
                f'<td class="{"text" if i < self.texts else "number"}">{escape(c)}</td>' for i, c in enumerate(row)
            ]
            mark = ' class="end"' if number in self.lines_after else ""
            body.append(f"<tr{mark}>{''.join(cells)}</tr>")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"

    def rich(self) -> RichTable:
        """Return the table for ``rich.console.Console.print``."""
        table = RichTable(title=self.title, title_justify="left", pad_edge=False)
        for index, name in enumerate(self.header):
            text = index < self.texts
            table.add_column(name, justify="left" if text else "right", no_wrap=text)
        for number, row in enumerate(self.rows):
            table.add_row(*row, end_section=number in self.lines_after)
        return table


def number(value: float | None, decimals: int = 2) -> str:
    """Return a score as text; a dash where there is none."""
    return NOTHING if value is None else f"{value:.{decimals}f}"


def difference(value: float | None, other: float | None, decimals: int = 2) -> str:
    """Return ``value - other`` with its sign; a dash where one is missing."""
    return NOTHING if value is None or other is None else f"{value - other:+.{decimals}f}"
