"""A benchmark's results as text: a table of ``rows``, a line for each other value, the notes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence, Sized
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_MOST_SHOWN = 12
_WIDTH = 220  # no column is cut short


def print_results(results: Mapping[str, Any], where: str, console: Console | None = None) -> None:
    """Prints a benchmark's results.

    Args:
        results: ``rows`` become a table, ``notes`` become sentences, the rest one line each.
        where: the file that has all of them.
        console: standard output by default; lines are never wrapped, so that they can be pasted.
    """
    console = console or Console(soft_wrap=True, width=_WIDTH)
    if rows := results.get("rows"):
        console.print(_table(results["benchmark"], [_flat(row) for row in rows]))
    left = {
        key: value
        for key, value in _flat(results).items()
        if key not in ("rows", "notes", "benchmark")
    }
    for key, value in left.items():
        console.print(f"{key}: {_shown(value)}", markup=False, highlight=False)
    for note in results.get("notes", ()):
        console.print(f"* {note}", markup=False, highlight=False)
    console.print(f"all of it: {where}", markup=False, highlight=False)


def report_run(name: str, result: Mapping[str, Any]) -> None:
    """Writes one run's result to standard error, where it is left if the benchmark is cut short."""
    sys.stderr.write(f"{name}: {result}\n")
    sys.stderr.flush()


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        numbers = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(
            name.replace("_", " "), justify="right" if numbers else "left", no_wrap=True
        )
    for row in rows:
        table.add_row(*(_shown(row.get(name)) for name in names))
    return table


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values as ``outer.inner``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": deeper for inner, deeper in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, Sized) and not isinstance(value, str) and len(value) > _MOST_SHOWN:
        return f"{len(value)} values, in the JSON"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)
