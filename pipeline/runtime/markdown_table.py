"""Rows of Markdown tables whose cells are anybody's texts."""

from __future__ import annotations

import html
from collections.abc import Sequence

from pipeline.runtime.printable import one_line


def table_row(cells: Sequence[str]) -> str:
    """A row; a cell is neither markup nor a link nor two cells."""
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    escaped = html.escape(one_line(text), quote=False)
    return escaped.replace("|", "\\|").replace("](", "]\\(")
