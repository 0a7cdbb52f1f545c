"""Brings a judge's index up to its parts: reads the parts that it does not cover, and only these.

New entries become a run of their own; the last two runs are merged while the later one has at least
half as many entries as the one before it, so that there are few runs, and each entry is rewritten a
few times in all. Every caller holds the output's lease.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.parts.index_files import (
    ENTRIES,
    PARTS,
    IndexFile,
    IndexState,
    groups_between,
    hash_words,
    newest,
    open_file,
    read_file,
    reading,
    state_key,
    write_file,
)
from pipeline.parts.label_index import LabelIndex, open_index
from pipeline.parts.part_files import asking_of, read_part_columns, row_revision
from pipeline.parts.part_keys import Part, judge_parts_prefix
from pipeline.runtime.errors import InputError, LeaseLostError
from pipeline.store.object_store import Entry, Store
from schemas.labels import NOT_ASKED

Run = tuple[IndexFile, ...]
Note = Callable[[str], None]

_THREADS = 16
_WAVE = 4_096  # parts whose entries become one run: some 2 million entries, 80 MB
_FILE_ROWS = 2**20  # entries of a file at most, as far as hashes are spread evenly
_LISTED = 2**16  # parts in one file of their list
_HASHES = 2**64


def _silent(text: str) -> None:
    return None


def update_index(store: Store, judge_id: str, note: Note = _silent) -> LabelIndex:
    """The index with every part of the judge that is stored now.

    Args:
        store: an output store.
        judge_id: the judge.
        note: receives what people should know: a damaged index that is made again, a part that
            cannot be read and is left out.

    Raises:
        StorageError: the store fails.
    """
    index = open_index(store, judge_id, note)
    listed = [entry for entry in store.list(judge_parts_prefix(judge_id)) if Part.of(entry.key)]
    state, covered = index.state, {key for key, _ in index.part_keys() if key}
    if covered - {entry.key for entry in listed}:  # parts were removed, and numbers move
        state, covered = IndexState(judge_id), set()
    added = [entry for entry in listed if entry.key not in covered]
    if not added and state == index.state:
        return index
    added.sort(key=_revision)
    for start in range(0, len(added), _WAVE):
        state = _with_parts(store, state, added[start : start + _WAVE], note)
    return _stored(store, state, index.number)


def mark_asked(index: LabelIndex, store: Store, checked: Mapping[str, str]) -> LabelIndex:
    """The index after all rows of some parts were found to need no vote more.

    Args:
        index: the newest one.
        store: its store.
        checked: of parts that it covers, by key: the asking that they were checked against.
    """
    listed = [(key, checked.get(key, old)) for key, old in index.part_keys()]
    return _with_list(index, store, listed)


def drop_parts(index: LabelIndex, store: Store, keys: Collection[str]) -> LabelIndex:
    """The index after parts were removed in which it found no votes.

    Args:
        index: the newest one.
        store: its store.
        keys: of the parts; those that it does not cover count for nothing.
    """
    listed = [("", "") if key in keys else (key, asking) for key, asking in index.part_keys()]
    return _with_list(index, store, listed)


def drop_pairs(index: LabelIndex, store: Store, hashes: Collection[str]) -> LabelIndex:
    """The index without its entries about some pairs, and without those of parts that are gone.

    Whose the latter are is known to nobody: no part names them.

    Args:
        index: the newest one.
        store: its store.
        hashes: of the pairs.
    """
    words = {hash_words(each) for each in hashes}
    gone = {number for number, (key, _) in enumerate(index.part_keys()) if not key}
    runs, state = [], index.state
    for run in state.runs:
        files = []
        for file in run:
            if not gone and not any(file.first <= high <= file.last for high, _ in words):
                files.append(file)
                continue
            table = read_file(store, file)
            columns = [table[name].to_pylist() for name in ("high", "low", "part")]
            stay = [
                (high, low) not in words and part not in gone
                for high, low, part in zip(*columns, strict=True)
            ]
            if all(stay):
                files.append(file)
                continue
            left = table.filter(pa.array(stay, pa.bool_()))
            files += [write_file(store, state.judge_id, left)] if left.num_rows else []
        runs += [tuple(files)] if files else []
    if tuple(runs) == state.runs:
        return index
    return _stored(store, replace(state, runs=tuple(runs)), index.number)


def _with_list(index: LabelIndex, store: Store, listed: Sequence[tuple[str, str]]) -> LabelIndex:
    state = index.state
    parts = (_parts_file(store, state.judge_id, listed),)
    askings = dict(Counter(asking for key, asking in listed if key))
    return _stored(store, replace(state, parts=parts, askings=askings), index.number)


def _stored(store: Store, state: IndexState, number: int) -> LabelIndex:
    key = state_key(state.judge_id, number + 1)
    if not store.create(key, state.to_json()) and store.read(key) != state.to_json():
        raise LeaseLostError(
            f"{store.path(key)}: another run has written it meanwhile, so that one of the two has "
            "lost the lease: stopped, what is committed stays; run again"
        )
    return LabelIndex(store, state, number + 1)


def _with_parts(store: Store, state: IndexState, added: Sequence[Entry], note: Note) -> IndexState:
    numbers = range(first := sum(file.rows for file in state.parts), first + len(added))
    with store.host.pool(_THREADS) as pool:
        read = pool.map(lambda entry, number: _entries(store, entry, number, note), added, numbers)
        tables, askings = zip(*read, strict=True)
    keys = [entry.key for entry in added]
    return replace(
        state,
        runs=_with_run(store, state.judge_id, state.runs, newest(tables)),
        parts=_with_listed(store, state, list(zip(keys, askings, strict=True))),
        askings=dict(Counter(state.askings) + Counter(askings)),
    )


def _with_listed(
    store: Store, state: IndexState, added: Sequence[tuple[str, str]]
) -> tuple[IndexFile, ...]:
    """The list of parts with more of them; the last file grows until it is large."""
    files, listed = list(state.parts), list(added)
    if files and files[-1].rows < _LISTED:
        last = read_file(store, files.pop())
        listed = [*zip(last["key"].to_pylist(), last["asking"].to_pylist(), strict=True), *listed]
    return (*files, _parts_file(store, state.judge_id, listed))


def _entries(store: Store, entry: Entry, number: int, note: Note) -> tuple[pa.Table, str]:
    """The entries of one part, and its asking; none of a part that cannot be read."""
    try:
        columns = ["pair_hash", "status", "revision", "epoch"]
        table = read_part_columns(store, entry.key, entry.size, columns)
    except InputError as damage:
        note(f"{damage}; until then its labels are not reused")
        return ENTRIES.empty_table(), ""
    rows = [
        (*hash_words(row["pair_hash"]), row_revision(row), row["epoch"] or 0, number, offset)
        for offset, row in enumerate(table.to_pylist())
        if row["pair_hash"] is not None and row["status"] != NOT_ASKED
    ]
    columns_ = zip(*rows, strict=True) if rows else [()] * len(ENTRIES)
    arrays = [pa.array(v, field.type) for v, field in zip(columns_, ENTRIES, strict=True)]
    return pa.table(arrays, schema=ENTRIES), asking_of(table)


def _with_run(store: Store, judge_id: str, runs: Sequence[Run], added: pa.Table) -> tuple[Run, ...]:
    if not added.num_rows:
        return tuple(runs)
    pieces = range(0, added.num_rows, _FILE_ROWS)
    made = [*runs, tuple(write_file(store, judge_id, added[n : n + _FILE_ROWS]) for n in pieces)]
    while len(made) > 1 and _rows(made[-2]) <= 2 * _rows(made[-1]):
        made[-2:] = [tuple(_merged(store, judge_id, made[-2:]))]
    return tuple(made)


def _merged(store: Store, judge_id: str, runs: Sequence[Run]) -> Iterator[IndexFile]:
    """Merges runs into one, a stretch of hashes at a time, so that memory holds one file's."""
    stretches = -(-sum(map(_rows, runs)) // _FILE_ROWS)
    for number in range(stretches):
        first = number * _HASHES // stretches
        last = (number + 1) * _HASHES // stretches - 1
        merged = newest([_between(store, run, first, last) for run in runs])
        if merged.num_rows:
            yield write_file(store, judge_id, merged)


def _between(store: Store, run: Run, first: int, last: int) -> pa.Table:
    tables = [ENTRIES.empty_table()]
    for file in run:
        if file.first <= last and file.last >= first:
            with reading(store, file):
                opened = open_file(store, file)
                groups = groups_between(opened, first, last)
                tables.append(opened.read_row_groups(groups, use_threads=False))
    table = pa.concat_tables(tables)
    high = table["high"].to_numpy()
    return table.filter(pa.array((high >= np.uint64(first)) & (high <= np.uint64(last))))


def _parts_file(store: Store, judge_id: str, listed: Sequence[tuple[str, str]]) -> IndexFile:
    keys, askings = zip(*listed, strict=True)
    return write_file(store, judge_id, pa.table([list(keys), list(askings)], schema=PARTS))


def _rows(run: Run) -> int:
    return sum(file.rows for file in run)


def _revision(entry: Entry) -> tuple[int, str]:
    part = Part.of(entry.key)
    return (part.revision if part else 0, entry.key)
