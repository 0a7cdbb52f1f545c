"""Finds a text in what judges and people wrote; hits come as they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.review.reviewed_output import Reviewed
from pipeline.review.shown_text import shown
from pipeline.runtime.errors import InputError, StorageError
from pipeline.snapshots.table_reader import map_row_groups

_AROUND = 90  # characters shown on each side of a hit
_THREADS = 4
_LABELS = ("shard", "row", "pair_id", "rationale")
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Hit:
    """A text that was found.

    Attributes:
        where: in which text of the pair.
        before, found, after: the hit and what is around it.
    """

    shard: str
    row: int
    where: str
    before: str
    found: str
    after: str


@dataclass(frozen=True)
class Searched:
    """How far a search is.

    Attributes:
        rows: whose texts were searched.
        of: all of them.
        unread: why shards could not be searched, by path.
    """

    what: str
    rows: int
    of: int
    unread: tuple[str, ...] = ()


def search(reviewed: Reviewed, text: str) -> Iterator[Hit | Searched]:
    """Searches rationales, then prompts and responses; case does not matter.

    Raises:
        InputError: labels are corrupt.
        StorageError: the output fails.
    """
    yield from _rationales(reviewed, text)
    yield from _pairs(reviewed, text)


def _rationales(reviewed: Reviewed, text: str) -> Iterator[Hit | Searched]:
    made = reviewed.first.manifest
    if made is None:
        return  # parts hold votes and rationales together: their pairs are searched alone
    rows = 0
    for table in ("labels", "quarantine"):
        groups = map_row_groups(
            reviewed.output, made, table, _LABELS, lambda found: _matching(found, text), _THREADS
        )
        for count, matching in groups:
            rows += count
            for row in matching.to_pylist():
                if reviewed.may_show(row["shard"], row["row"]):
                    yield _hit(row["shard"], row["row"], "rationale", row["rationale"], text)
            yield Searched("rationales", rows, made.rows)


def _matching(table: pa.Table, text: str) -> tuple[int, pa.Table]:
    hits = pc.match_substring(table["rationale"], text, ignore_case=True)
    return table.num_rows, table.filter(pc.fill_null(hits, False))


def _pairs(reviewed: Reviewed, text: str) -> Iterator[Hit | Searched]:
    rows, unread = 0, list[str]()
    of = reviewed.first.columns.rows
    for path in reviewed.first.keys:
        try:
            start, tables = reviewed.texts(path)
        except (pa.ArrowException, UnicodeDecodeError, InputError, StorageError) as error:
            unread.append(f"{path}: {error}"[:300])
            continue
        for table in tables:
            for place, where, whole in _in_pairs(table, text):
                if reviewed.may_show(path, start + place):
                    yield _hit(path, start + place, where, whole, text)
            start += table.num_rows
            rows += table.num_rows
        yield Searched("prompts and responses", rows, of, tuple(unread))


def _in_pairs(table: pa.Table, text: str) -> Iterator[tuple[int, str, str]]:
    """Where pairs have the text: row, which text of the pair, and that text; each once."""
    for column, name in (("messages", "prompt"), ("candidates", "response")):
        holders = table[column].combine_chunks()
        rows = np.asarray(pc.list_parent_indices(holders))
        numbers = _within(rows)
        contents = pc.struct_field(pc.list_flatten(holders), "content")
        of_holder = np.asarray(pc.list_parent_indices(contents))
        texts = pc.struct_field(pc.list_flatten(contents), "text")
        hits = pc.fill_null(pc.match_substring(texts, text, ignore_case=True), False)
        seen = set[tuple[int, str]]()
        for place in np.flatnonzero(np.asarray(hits)):
            holder = of_holder[place]
            where = name if name == "prompt" else f"response {chr(ord('a') + numbers[holder])}"
            if (key := (int(rows[holder]), where)) not in seen:
                seen.add(key)
                yield *key, texts[int(place)].as_py()


def _within(rows: Places) -> Places:
    """The number of each item within its row, by ascending numbers of rows."""
    first = np.searchsorted(rows, rows)
    return np.arange(len(rows)) - first


def _hit(shard: str, row: int, where: str, whole: str, text: str) -> Hit:
    at = max(0, whole.lower().find(text.lower()))
    end = at + len(text)
    before = whole[max(0, at - _AROUND) : at]
    after = whole[end : end + _AROUND]
    return Hit(shard, row, where, shown(before), shown(whole[at:end]), shown(after))
