"""A corpus that is only described: its listings, footers and manifest are made on request.

Its two stores simulate buckets of any size, and count the requests that these would answer.
"""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.pairs.shards import shard_key
from pipeline.parts.units import Unit
from pipeline.runtime.digest import digest
from pipeline.snapshots.manifests import LATEST_KEY, Latest, manifest_key
from pipeline.store.host import OneProcess
from pipeline.store.object_store import Entry, Store
from schemas.labels import Status
from schemas.manifest import OUTCOMES, InputShard, Manifest, ShardGroup, SnapshotFile
from schemas.pairs import PAIRS_V2

LISTED_AT_ONCE = 1_000  # keys in one answer of S3
_SNAPSHOT = "synthetic"
_PART_BYTES = 200_000


@dataclass(frozen=True)
class Corpus:
    """How many shards there are, and how many of them have been judged and published before.

    Attributes:
        shards: how many.
        units: of each shard.
        unit_rows: of each unit.
        new: so many of the shards, evenly spread, have no parts and are not in the manifest.
    """

    shards: int
    units: int
    unit_rows: int
    new: int
    judge_id: str

    def entries(self) -> Iterator[Entry]:
        """The shards as a listing of S3 gives them."""
        for number in range(self.shards):
            name = f"shard-{number:07d}.parquet"
            yield Entry(name, len(self.footer_file), digest(name)[:32])

    def old(self) -> Iterator[Entry]:
        """The shards that have been judged and published."""
        for number, entry in enumerate(self.entries()):
            if not (number + 1) * self.new // self.shards > number * self.new // self.shards:
                yield entry

    @property
    def footer_file(self) -> bytes:
        """A shard of pairs v2 with as many row groups as units; the same bytes for all."""
        if (data := _FILES.get((self.units, self.unit_rows))) is None:
            group = PAIRS_V2.empty_table().to_pydict() | {"pair_id": ["x"] * self.unit_rows}
            rows = {name: group[name] or [None] * self.unit_rows for name in PAIRS_V2.names}
            schema = pa.schema([field.with_nullable(True) for field in PAIRS_V2])
            table, sink = pa.table(rows, schema=schema), pa.BufferOutputStream()
            with pq.ParquetWriter(sink, schema) as writer:
                for _ in range(self.units):
                    writer.write_table(table)
            data = _FILES[self.units, self.unit_rows] = bytes(sink.getvalue())
        return data


_FILES: dict[tuple[int, int], bytes] = {}


class _Counted(Store):
    """Counts requests by kind; safe for threads."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.local = False  # the plan sends the requests that it sends to a bucket
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, kind: str, times: int = 1) -> None:
        """Counts requests."""
        with self._lock:
            self.requests[kind] += times

    def count_listing(self, keys: int) -> None:
        """Counts the pages of one listing."""
        self.count("LIST", max(1, -(-keys // LISTED_AT_ONCE)))


class SyntheticInput(_Counted):
    """The store of the shards."""

    def __init__(self, corpus: Corpus) -> None:
        """Binds to a corpus."""
        super().__init__("/synthetic/pairs")
        self.host = OneProcess()
        self._corpus, self._file = corpus, corpus.footer_file

    def real_path(self, key: str = "") -> str:
        """The path itself: there are no links."""
        return self.path(key)

    def list(self, prefix: str = "", start: str = "") -> Iterator[Entry]:
        """All shards."""
        assert (prefix, start) == ("", "")
        self.count_listing(self._corpus.shards)
        return self._corpus.entries()

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes of the one file that all shards share."""
        self.count("GET")
        return self._file[start:stop]


class SyntheticOutput(_Counted):
    """The store of the parts and of the live snapshot's manifest."""

    def __init__(self, corpus: Corpus, *, published: bool = True) -> None:
        """Binds to a corpus; without ``published`` there are parts but no snapshot."""
        super().__init__("/synthetic/labels")
        self._corpus, self._published = corpus, published
        keys = (shard_key(entry.key, entry.size, str(entry.etag)) for entry in corpus.old())
        self._keys = sorted(keys)

    def real_path(self, key: str = "") -> str:
        """The path itself: there are no links."""
        return self.path(key)

    def list(self, prefix: str = "", start: str = "") -> Iterator[Entry]:
        """Parts of the shards whose key begins with the prefix."""
        *_, named = f"{prefix}/".split("/judge=")[-1].partition("/")
        begin = named.strip("/") + start
        first = bisect.bisect_left(self._keys, begin)
        last = bisect.bisect_right(self._keys, begin + "g")  # beyond any hexadecimal digit
        self.count_listing((last - first) * self._corpus.units)
        for key in self._keys[first:last]:
            for number in range(self._corpus.units):
                rows = (number * self._corpus.unit_rows, (number + 1) * self._corpus.unit_rows)
                part = Unit("", key, *rows).part_key(self._corpus.judge_id)
                yield Entry(part, _PART_BYTES, "0" * 32)

    def size(self, key: str) -> int | None:
        """Of ``LATEST.json`` and the manifest, if anything is published."""
        self.count("HEAD")
        return 1 if self._published and key in (LATEST_KEY, manifest_key(_SNAPSHOT)) else None

    def read(self, key: str) -> bytes:
        """``LATEST.json`` or the manifest."""
        self.count("GET")
        if key == LATEST_KEY:
            return Latest(_SNAPSHOT, manifest_key(_SNAPSHOT), "2026-01-01", "run", None).to_json()
        assert key == manifest_key(_SNAPSHOT)
        return self._manifest

    def describe(self) -> None:
        """Makes the manifest's bytes, which a real store has."""
        rows = self._corpus.units * self._corpus.unit_rows
        counts = dict.fromkeys(OUTCOMES, 0) | {str(Status.LABELED): rows}
        shards = tuple(
            InputShard(
                entry.key,
                entry.size,
                str(entry.etag),
                shard_key(entry.key, entry.size, str(entry.etag)),
                rows,
                counts,
            )
            for entry in self._corpus.old()
        )
        total = rows * len(shards)
        manifest = Manifest(
            snapshot_id=_SNAPSHOT,
            created_at="2026-01-01",
            created_by="run",
            parent=None,
            judge={"judge_id": self._corpus.judge_id},
            policy=None,
            schemas={},
            input="synthetic",
            rows=total,
            counts=dict.fromkeys(OUTCOMES, 0) | {str(Status.LABELED): total},
            shards=shards,
            group_count=1,
            groups=(ShardGroup(0, "", ()),),
            files=(SnapshotFile("labels", "labels/0.parquet", total, 0, ""),),
        )
        self._manifest = manifest.to_json()
