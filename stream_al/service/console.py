"""The one console of the command line: shows everything as it is, and obeys nothing of it.

All that is written goes through `escaping.visible`, ids like `[bold]` and `:smile:` come out as
they are, and where stdout is no terminal nothing is cut or wrapped: a script reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import (
    Console,
    ConsoleDimensions,
    ConsoleOptions,
    OverflowMethod,
    RenderableType,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from stream_al.escaping import visible, visible_lines

UNBOUNDED_CELLS = 1_000_000
"""The width of what is no terminal."""
ALIGNED_CELLS_MAX = 60
"""Without a terminal, a column is filled up to this: one long cell moves its own line only."""
FOLDED_CELLS_MIN = 16
LAST_CELLS_MIN = 20


class SafeConsole(Console):
    """A console for text from outside; a string is one line, a `Text` may have several."""

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, **options)

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        """The terminal's; without one there is nothing to fit into."""
        found = super().size
        return found if self.is_terminal else ConsoleDimensions(UNBOUNDED_CELLS, found.height)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text` escaped, as it will be measured and shown."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield segments, the last place where anything could get through: all are escaped."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible_lines(segment.text), segment.style)

    def show_table(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, cut: str | None = None
    ) -> None:
        """Write rows of one line a cell; where they are too wide for a terminal, cells are folded.

        Parameters
        ----------
        cut
            The last heading, when a terminal may show its cells up to the end of the line only.
        """
        cells = [[visible(cell) for cell in row] for row in rows]
        if not self.is_terminal:
            for row in ([*headings], *cells):
                self.print(_padded(row, _widths(headings, cells)))
            return
        widths = _widths(headings, cells)[:-1]
        widths = [min(width, max(FOLDED_CELLS_MIN, self.width // 3)) for width in widths]
        left = self.width - sum(widths) - len(widths)
        if left < LAST_CELLS_MIN and widths[0] > FOLDED_CELLS_MIN:
            taken = min(LAST_CELLS_MIN - left, widths[0] - FOLDED_CELLS_MIN)
            widths[0], left = widths[0] - taken, left + taken
        if left < LAST_CELLS_MIN:
            self._show_stacked(headings, cells, cut)
            return
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for heading, width in zip(headings, (*widths, left), strict=True):
            whole = heading != cut
            overflow: OverflowMethod = "fold" if whole else "ellipsis"
            table.add_column(heading, width=width, overflow=overflow, no_wrap=not whole)
        for row in cells:
            table.add_row(*row)
        self.print(table)

    def _show_stacked(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], cut: str | None
    ) -> None:
        """Write each cell on a line of its own, behind its heading."""
        indent = max(map(cell_len, headings))
        for row in rows:
            table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
            table.add_column(width=indent, no_wrap=True)
            table.add_column(overflow="fold")
            for heading, cell in zip(headings, row, strict=True):
                whole = heading != cut
                shown = Text(cell, overflow="fold" if whole else "ellipsis", no_wrap=not whole)
                table.add_row(heading, shown)
            self.print(table)
            self.print()


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    columns = zip(headings, *rows, strict=True)
    return [min(ALIGNED_CELLS_MAX, max(map(cell_len, column))) for column in columns]


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return cells in columns of `widths`, two spaces apart, nothing behind the last.

    Examples
    --------
    >>> _padded(["a", "bc", "d"], [3, 2, 9])
    'a    bc  d'
    """
    padded = [
        cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()
