"""``layout: auto``: proposes a known layout and shows why; nothing is ever run on a guess."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.pairs.arrow_values import values_of
from pipeline.pairs.contents import shown_text
from pipeline.pairs.isolated_reading import first_rows
from pipeline.pairs.known_layouts import Layout, fitting_layouts, layout_names
from pipeline.pairs.mapped_rows import pair_of
from pipeline.runtime.errors import InputError
from pipeline.runtime.faults import UNREADABLE_FILE
from pipeline.store.object_store import Entry, Store

_ROWS = 16
_SHOWN = 200  # characters of a value

Row = Mapping[str, Any]


def proposal_for_shard(store: Store, entry: Entry, seconds: float) -> str:
    """What is proposed for a shard, by its first rows, which may take so many seconds to read.

    Raises:
        InputError: it cannot be read.
        StorageError: the store fails.
    """
    try:
        table = first_rows(store, entry, _ROWS, seconds)
    except UNREADABLE_FILE as error:
        raise InputError(f"{store.shown(entry.key)}: cannot be read: {error}") from error
    return proposal(table, store.shown(entry.key))


def proposal(table: pa.Table, where: str) -> str:
    """What is proposed for a table, in lines for a user.

    Args:
        table: its first rows.
        where: what it is, for the message.
    """
    values = [values_of(table[name]) for name in table.column_names]
    rows = [dict(zip(table.column_names, row, strict=True)) for row in zip(*values, strict=True)]
    fits = [(layout, _fitting(layout, rows)) for layout in fitting_layouts(table.schema)]
    found = f"{where}: columns {', '.join(table.column_names)}"
    fits = [each for each in fits if each[1]]
    if not fits:
        return (
            f"{found}: no known layout ({', '.join(layout_names())}) reads its first rows: say "
            "where the fields of a pair are under input.map"
        )
    fits.sort(key=lambda each: -each[1])
    best, count = fits[0]
    others = [f"{layout.name} ({n} of {len(rows)} rows fit)" for layout, n in fits[1:]]
    lines = [
        found,
        f"proposed layout: {best.name} ({count} of {len(rows)} rows fit): {best.doc}",
        *(f"  {name} -> {', '.join(f) or '(not read)'}" for name, f in _uses(best, table)),
        *_shown(best, rows),
        *([f"also possible: {', '.join(others)}"] if others else []),
        f"nothing was run: if this is right, set input.layout to {best.name}",
    ]
    return "\n".join(lines)


def _uses(layout: Layout, table: pa.Table) -> list[tuple[str, list[str]]]:
    return list(layout.mapping.uses(table.schema).items())


def _fitting(layout: Layout, rows: Sequence[Row]) -> int:
    return sum(_fits(layout, row) for row in rows)


def _fits(layout: Layout, row: Row) -> bool:
    pair, problems = pair_of(layout.mapping, row)
    return bool(not problems and pair["messages"] and any(pair["candidates"] or ()))


def _shown(layout: Layout, rows: Sequence[Row]) -> list[str]:
    """How the first row that fits reads."""
    for number, row in enumerate(rows):
        if not _fits(layout, row):
            continue
        pair, _ = pair_of(layout.mapping, row)
        said = [(each["role"], shown_text(each["content"])) for each in pair["messages"]]
        said += [
            (f"candidate {letter}", each and shown_text(each["content"]))
            for letter, each in zip(string.ascii_lowercase, pair["candidates"], strict=False)
        ]
        names = ("pair_id", "gold", "gold_scores", "source", "metadata")
        said += [(name, pair[name]) for name in names if pair[name] is not None]
        return [f"row {number} reads:", *(f"  {name}: {_clipped(value)}" for name, value in said)]
    return []


def _clipped(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
