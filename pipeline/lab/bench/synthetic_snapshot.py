"""A published snapshot of any size with made-up labels and pairs, written column by column."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.judging.judge_cards import judge_card, write_card
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion
from pipeline.pairs.contents import asked_by_user, pair_row, text_part
from pipeline.pairs.shards import shard_key
from pipeline.snapshots.browse_index import IndexWriter, range_of
from pipeline.snapshots.manifests import LATEST_KEY, Latest, manifest_key
from pipeline.snapshots.table_writer import TableWriter
from pipeline.store.object_store import Store
from schemas.contract import VERSION_KEY
from schemas.labels import Status
from schemas.manifest import MISSING, OUTCOMES, InputShard, Manifest, ShardGroup, SnapshotFile
from schemas.pairs import PAIRS_V2
from schemas.snapshots import FILE_KINDS, SNAPSHOT_LABELS, SNAPSHOT_VOTES, contract_of

RARE = "a zeppelin over the harbour"  # in one text of every shard
_RATIONALE = "Assistant 1 names what is in the picture; the other one adds what is not there. " * 4
_ID = "5" * 16
_WHEN = "2026-01-01T00:00:00+00:00"
_GROUP_BYTES = 2**26
_THREADS = 4


def write_snapshot(root: str, rows: int, shards: int) -> None:
    """Writes ``<root>/pairs`` and ``<root>/labels`` with a live snapshot.

    Args:
        root: a folder, or a prefix of a bucket.
        rows: in all.
        shards: that they are shared out to evenly.
    """
    source, output = Store(f"{root}/pairs"), Store(f"{root}/labels")
    card = judge_card(JudgeConfig(), ModelVersion.named("none"), "scripted")
    write_card(output, card)

    def written(numbers: Sequence[int]) -> tuple[list[InputShard], list[SnapshotFile]]:
        made, files = list[InputShard](), list[SnapshotFile]()
        with IndexWriter(output, numbers[0], {}) as index:
            for number in numbers:
                count = rows // shards + (number < rows % shards)
                shard, of_shard = _shard(source, output, index, number, count, card["judge_id"])
                made.append(shard)
                files += of_shard
            return made, [*files, *index.finish()]

    ranges = [list(of) for _, of in itertools.groupby(range(shards), range_of)]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(written, ranges))
    made = [shard for shards, _ in found for shard in shards]
    files = [file for _, each in found for file in each]
    totals = sum((Counter(shard.counts) for shard in made), Counter[str]())
    manifest = Manifest(
        snapshot_id=_ID,
        created_at=_WHEN,
        created_by="bench",
        parent=None,
        judge=card,
        policy=None,
        schemas={name: contract_of(name) for name in FILE_KINDS},
        input=source.uri,
        rows=rows,
        counts={outcome: totals[outcome] for outcome in OUTCOMES},
        shards=tuple(made),
        group_count=shards,
        groups=tuple(ShardGroup(n, str(n), ()) for n in range(shards)),
        files=tuple(files),
    )
    output.put(manifest_key(_ID), manifest.to_json())
    latest = Latest(_ID, manifest_key(_ID), _WHEN, "bench", None)
    output.put(LATEST_KEY, latest.to_json())


def _shard(
    source: Store, output: Store, index: IndexWriter, number: int, rows: int, judge_id: str
) -> tuple[InputShard, list[SnapshotFile]]:
    name = f"{number:05d}.parquet"
    rng = np.random.default_rng(number)
    ids = [f"{number:05d}-{row:06d}" for row in range(rows)]
    buffer = pa.BufferOutputStream()
    pq.write_table(_pairs(ids), buffer, compression="zstd")
    source.put(name, bytes(buffer.getvalue()))
    (entry,) = source.list(name)
    content = source.content_key(entry)
    key = shard_key(name, entry.size, content)
    labels = _labels(ids, name, judge_id, rng)
    index.write(labels)
    quarantined = np.asarray(labels["status"]) == Status.QUARANTINED
    of_table = {
        "labels": labels.filter(pa.array(~quarantined)),
        "quarantine": labels.filter(pa.array(quarantined)),
        "votes": _votes(labels),
    }
    files = []
    for table, held in of_table.items():
        with TableWriter(output, table, number, 2**28, _GROUP_BYTES, {}) as writer:
            writer.write(held)
            files += writer.finish()
    found = Counter(labels["status"].to_pylist())
    counts = {outcome: found[outcome] for outcome in OUTCOMES} | {MISSING: 0}
    return InputShard(name, entry.size, content, key, rows, counts, group=number), files


def _pairs(ids: list[str]) -> pa.Table:
    asked = asked_by_user(text_part("What is in the picture, and where does it stand?"))
    answers = (
        [
            text_part("A red cube on the left."),
        ],
        [text_part("A blue ball.")],
    )
    row = {n: v for n, v in pair_row("", asked, answers).items() if n != "pair_id"}
    schema = pa.schema([f for f in PAIRS_V2 if f.name != "pair_id"])
    rest = pa.Table.from_pylist([row], schema).take(pa.array(np.zeros(len(ids), np.int64)))
    golds = pa.array([("a", "b", "tie", None)[n % 4] for n in range(len(ids))], pa.string())
    rest = rest.set_column(rest.schema.get_field_index("gold"), "gold", golds)
    table = rest.add_column(0, "pair_id", pa.array(ids, pa.string()))
    metadata = {VERSION_KEY: PAIRS_V2.metadata[VERSION_KEY]}
    return table.replace_schema_metadata(metadata)


def _labels(ids: list[str], name: str, judge_id: str, rng: np.random.Generator) -> pa.Table:
    rows = len(ids)
    status = rng.choice([*map(str, Status)], rows, p=[0.78, 0.1, 0.1, 0.02])
    labeled, bad = status == Status.LABELED, status == Status.QUARANTINED
    side = rng.choice(["a", "b"], rows)
    hashes = [f"{int.from_bytes(rng.bytes(8), 'big'):016x}" * 4 for _ in range(rows)]
    rationale = np.full(rows, _RATIONALE, dtype=object)
    rationale[rows // 2] = f"{_RATIONALE} {RARE}"
    confidence, margin = rng.beta(5, 1, rows), rng.normal(0, 3, rows)
    when = datetime.datetime.fromisoformat(_WHEN)
    values: dict[str, Any] = {
        "label_id": hashes,
        "pair_id": ids,
        "pair_hash": hashes,
        "judge_id": [judge_id] * rows,
        "shard": [name] * rows,
        "row": np.arange(rows),
        "status": status.tolist(),
        "reason": ["media_corrupt" if each else None for each in bad],
        "preference": [str(s) if each else None for s, each in zip(side, labeled, strict=True)],
        "confidence": pa.array(confidence, mask=bad),
        "margin": pa.array(margin, mask=bad),
        "position_consistent": pa.array(rng.random(rows) < 0.8, mask=bad),
        "n_votes": rng.choice([2, 4, 6], rows),
        "rationale": pa.array(rationale.tolist(), pa.string()),
        "judged_at": [when] * rows,
        "run_id": ["bench"] * rows,
        "decided_by": [None if each else judge_id for each in bad],
    }
    return pa.table(
        [
            pa.array(values[field.name]).cast(field.type)
            if field.name in values
            else pa.nulls(rows, field.type)
            for field in SNAPSHOT_LABELS
        ],
        schema=SNAPSHOT_LABELS,
    )


def _votes(labels: pa.Table) -> pa.Table:
    """Two votes a row."""
    rows = labels.num_rows
    twice = pa.array(np.repeat(np.arange(rows), 2))
    values = {
        **{n: labels[n].take(twice) for n in ("label_id", "pair_id", "judge_id", "shard", "row")},
        "vote": np.tile([0, 1], rows),
        "order": ["ab", "ba"] * rows,
        "outcome": ["verdict"] * (2 * rows),
        "choice": ["a"] * (2 * rows),
        "rationale": labels["rationale"].take(twice),
    }
    return pa.table(
        [
            _array(values[field.name]).cast(field.type)
            if field.name in values
            else pa.nulls(2 * rows, field.type)
            for field in SNAPSHOT_VOTES
        ],
        schema=SNAPSHOT_VOTES,
    )


def _array(values: Any) -> Any:
    return values if isinstance(values, pa.ChunkedArray) else pa.array(values)
