"""What is in a part: the labels of its rows, and how far its judge was asked about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.runtime.errors import InputError
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.store.object_store import Store
from schemas.contract import VERSION_KEY, version_problems
from schemas.labels import ADDED, LABELS, LABELS_V1, Status, labels_v2

_ASKING_KEY = b"pairmill_asking"
_NOT_A_PART = "use the version of this software that wrote it, or another output"


def part_bytes(tables: Iterable[pa.Table], asking: str = "") -> bytes:
    """Tables of labels v2 as one part; only one of them need be in memory at a time.

    Args:
        tables: of labels v2.
        asking: until when the judge was asked and what it was shown
            (``pipeline.judging.asking``), as text.
    """
    buffer = pa.BufferOutputStream()
    stamp = {_ASKING_KEY: asking.encode()} if asking else {}
    schema = LABELS.with_metadata({**LABELS.metadata, **stamp})
    options = {"compression": "zstd", "write_page_checksum": True}
    with pq.ParquetWriter(buffer, schema, **options) as writer:
        for table in tables:
            writer.write_table(table.cast(schema))
    return bytes(buffer.getvalue())


def read_part(store: Store, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A stored part as labels v2.

    Args:
        store: an output store.
        key: of the part.
        columns: which columns of labels v2 to read; all by default.

    Raises:
        InputError: it is not a part, is corrupt, or follows another version of the contract.
        StorageError: the store fails.
    """
    return parse_part(store.read(key), store.path(key), columns)


def parse_part(data: bytes, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The part in ``data``, which was read from ``where``; otherwise as :func:`read_part`."""
    return _read(pa.BufferReader(data), where, columns)


def read_part_columns(store: Store, key: str, size: int, columns: Sequence[str]) -> pa.Table:
    """As :func:`read_part`, reading the bytes of these columns only.

    Args:
        store: an output store.
        key: of the part.
        size: of the part, in bytes.
        columns: of labels v2.
    """
    source = store.open(key, size)
    try:
        return _read(pa.PythonFile(source, mode="r"), store.path(key), columns)
    except InputError:
        failure = source.take_failure()
        if failure is not None:
            raise failure from None
        raise


def asking_of(table: pa.Table) -> str:
    """What a part says under ``asking``; empty in parts of labels v1.

    Args:
        table: as :func:`read_part` returns it.
    """
    return str((table.schema.metadata or {}).get(_ASKING_KEY, b"").decode())


def row_revision(label: Mapping[str, Any]) -> int:
    """How often votes about a row's pair were added.

    Labels v1 do not state it: there, a row that is out of quarantine is later than one that is not.

    Args:
        label: ``revision`` and ``status`` of a row of labels v2.
    """
    stated = label["revision"]
    return int(stated) if stated is not None else int(label["status"] != Status.QUARANTINED)


def _read(source: pa.NativeFile, where: str, columns: Sequence[str] | None) -> pa.Table:
    try:
        file = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
        stored = file.schema_arrow
        old = (stored.metadata or {}).get(VERSION_KEY) == LABELS_V1.metadata[VERSION_KEY]
        contract = LABELS_V1 if old else _without(LABELS, ADDED, stored)
        problems = version_problems(stored, contract)
        known = None if columns is None else [name for name in columns if name in contract.names]
        # Without threads: pyarrow 26 now and then aborts a process that ends after using them.
        table = file.read([] if problems else known, use_threads=False)
    except UNREADABLE_FILE as error:
        raise InputError(
            f"{where}: corrupt part ({first_line(error)}); remove it, and run pairmill label again"
        ) from error
    if problems:
        raise InputError(
            f"{where}: not a part of this version:\n  " + "\n  ".join(problems) + f"\n{_NOT_A_PART}"
        )
    if old:
        return labels_v2(table, columns)
    for name in set(columns or LABELS.names) - set(table.column_names):
        field = LABELS.field(name)
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(columns or LABELS.names)


def _without(contract: pa.Schema, names: Sequence[str], stored: pa.Schema) -> pa.Schema:
    """A contract without those of some columns that are not stored."""
    lacking = [name for name in names if stored.get_field_index(name) < 0]
    return pa.schema([f for f in contract if f.name not in lacking], contract.metadata)
