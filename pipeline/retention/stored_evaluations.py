"""The pairs that evaluations wrote down: shards of the first pairs, of a benchmark, of controls."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.retention.stored import Stored
from pipeline.retention.things import Thing
from pipeline.runtime.errors import InputError

_SHARDS = r"[^/]+/(?:pairs|controls/[^/]+)/.+\.parquet"
_ID = "pair_id"


def evaluated_pairs(stored: Stored, ids: Collection[str]) -> Iterator[Thing]:
    """Every such shard with one of these pairs. The next evaluation writes it again without them.

    Raises:
        InputError: a shard is damaged, so that it is not known which pairs it holds.
        StorageError: the store fails.
    """
    wanted = pa.array(sorted(ids), pa.string())
    for _, entry in stored.matching("evaluations", _SHARDS):
        source = stored.output.open(entry.key, entry.size)
        try:
            with source.reading():
                holds = _holds(pq.ParquetFile(pa.PythonFile(source, mode="r")), wanted)
        except (pa.ArrowInvalid, KeyError) as error:  # without a column of ids
            raise InputError(
                f"{stored.output.path(entry.key)}: damaged, so that it is not known which pairs it "
                "holds; remove it (an evaluation writes it again), and run again"
            ) from error
        if holds:
            yield Thing(entry.key, (entry,))


def _holds(file: pq.ParquetFile, wanted: pa.Array) -> bool:
    for group in range(file.num_row_groups):
        held = file.read_row_group(group, [_ID], use_threads=False)[_ID]
        if pc.any(pc.is_in(held, wanted)).as_py():
            return True
    return False
