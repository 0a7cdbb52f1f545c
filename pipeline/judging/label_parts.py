"""Parts: the stored labels of a row range of one shard version by one judge.

Where they are is ``parts/judge=<judge>/<path>/<version>/<start>-<stop>.parquet``: folders for the
judge, the shard's path and its version, and a name for the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.pairs.shards import PATH_DIGITS
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.contract import version_problems
from schemas.labels import LABELS

_VERSION_DIGITS = 32
_PART_NAME = re.compile(r"(\d{9})-(\d{9})\.parquet")


def part_bytes(tables: Iterable[pa.Table]) -> bytes:
    """Tables of labels v1 as one part; only one of them need be in memory at a time."""
    buffer = pa.BufferOutputStream()
    options = {"compression": "zstd", "write_page_checksum": True}
    with pq.ParquetWriter(buffer, LABELS, **options) as writer:
        for table in tables:
            writer.write_table(table)
    return bytes(buffer.getvalue())


def read_part(store: Store, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A stored part.

    Args:
        store: an output store.
        key: of the part.
        columns: which columns to read; all of labels v1 by default.

    Raises:
        InputError: it is not a part, is corrupt, or follows another version of the contract.
        StorageError: the store fails.
    """
    data = pa.BufferReader(store.read(key))
    try:
        file = pq.ParquetFile(data, page_checksum_verification=True)
        problems = version_problems(file.schema_arrow, LABELS)
        # Without threads: pyarrow 26 now and then aborts a process that ends after using them.
        table = None if problems else file.read(columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        cause = str(error).strip().splitlines()[0]
        raise InputError(
            f"{store.path(key)}: corrupt part ({cause}); remove it, and run pairmill label again"
        ) from error
    if problems:
        raise InputError(
            f"{store.path(key)}: not a part of this version:\n  " + "\n  ".join(problems) + "\n"
            "use the version of this software that wrote it, or another output"
        )
    return table


def judge_folder(judge_id: str) -> str:
    """The folder name of a judge's objects."""
    return f"judge={judge_id[:16]}"


def judge_parts_prefix(judge_id: str) -> str:
    """The folder of all parts of a judge, in which every shard's path has one."""
    return f"parts/{judge_folder(judge_id)}"


def parts_prefix(judge_id: str, shard_key: str) -> str:
    """The folder of all parts of one shard version by one judge."""
    return f"{judge_parts_prefix(judge_id)}/{shard_folders(shard_key)}"


def versions_prefix(judge_id: str, shard_key: str) -> str:
    """The folder of all parts of all versions of a shard's path by one judge."""
    return f"{judge_parts_prefix(judge_id)}/{shard_key[:PATH_DIGITS]}"


def shard_folders(shard_key: str) -> str:
    """The two folders of a shard version: of its path, and of the version."""
    path, version = shard_key[:PATH_DIGITS], shard_key[PATH_DIGITS:]
    return f"{path}/{version[:_VERSION_DIGITS]}"


def committed_range(part_key: str) -> tuple[int, int] | None:
    """The row range that a part's name states, or None if this is not a part."""
    match = _PART_NAME.fullmatch(part_key.rpartition("/")[2])
    return (int(match[1]), int(match[2])) if match else None
