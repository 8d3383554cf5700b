"""Markdown tables from cells."""

from collections.abc import Iterable, Sequence
from typing import Any


def table(heads: Sequence[Any], lines: Iterable[Sequence[Any]], *, left: int = 1) -> str:
    """A Markdown table: the first `left` columns are words, the others numbers, at the right.

    Cells are shown as `str` shows them. ValueError when a line has more or fewer cells than heads,
    naming the line.
    """
    rows = [[str(cell) for cell in row] for row in (heads, *lines)]
    for row in rows:
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{len(row)} cells under {len(rows[0])} heads in the line {' | '.join(row)!r}; "
                "give one for each head"
            )
    rows.insert(1, ["---" if i < left else "--:" for i in range(len(rows[0]))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
