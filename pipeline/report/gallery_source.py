"""Finds what the sample of a report is drawn from: shards, and the labels of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.judging.judge_cards import judge_of
from pipeline.media.media_store import MediaStore
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import list_shards, open_input, shard_key
from pipeline.parts.commit import shard_parts
from pipeline.report.label_rows import LabelRows, PartRows, SnapshotRows
from pipeline.report.pair_sample import ShardRef, Specimen, draw, in_drawn_order
from pipeline.report.report_config import GalleryConfig
from pipeline.report.run_records import Records
from pipeline.report.thumbnails import Thumbnails
from pipeline.runtime.errors import InputError, StorageError
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Store

_TRIED = 8  # times as many shards are looked for, where not every one has labels


@dataclass(frozen=True)
class Sample:
    """The pairs that were drawn.

    Attributes:
        thumbnails: makes their pictures; None without pairs.
        why: of an empty sample, why it is empty.
    """

    specimens: Sequence[Specimen]
    thumbnails: Thumbnails | None
    why: str = ""


def draw_sample(records: Records, columns: InputConfig, config: GalleryConfig) -> Sample:
    """Draws pairs of the snapshot, or (nothing published) of what the judge has labelled.

    Args:
        records: of the run.
        columns: how the input is read.
        config: how many pairs.

    Raises:
        InputError: labels are corrupt.
        StorageError: the output fails.
    """
    if config.pairs == 0:
        return Sample((), None, "No pairs are shown: report.gallery.pairs is 0.")
    night, made = records.nightly, records.manifest
    if night is not None and made is not None and night["state"] == "unchanged":
        why = f"Nothing changed: the report of run {made.created_by} shows pairs of this snapshot."
        return Sample((), None, why)  # an idle nightly run reads no shard
    if records.input_uri is None or records.card is None:
        return Sample((), None, "The run came to no labels.")
    try:
        source, prefix = open_input(records.input_uri)
        contents = ContentKeys(source, records.output)
        shards, labels = _labelled(records, source, prefix, contents, config)
    except (InputError, StorageError) as error:
        return Sample((), None, f"The input cannot be read: {error}")
    seed = records.manifest.snapshot_id if records.manifest else records.run_id
    specimens = draw(source, contents, shards, labels, columns, config, seed)
    judge = judge_of(dict(records.card))
    roots = (*columns.media_roots, source.uri)  # the first one's are relative paths
    media = MediaStore(roots, judge.media.max_bytes)
    why = "" if specimens else "No row of the shards that were looked into has a label yet."
    return Sample(specimens, Thumbnails(media, judge.media, config), why)


def _labelled(
    records: Records, source: Store, prefix: str, contents: ContentKeys, config: GalleryConfig
) -> tuple[list[ShardRef], LabelRows]:
    output, most = records.output, config.shards
    if (manifest := records.manifest) is not None:
        there = {s.path: ShardRef(s.path, s.shard_key, s.rows) for s in manifest.shards if s.rows}
        drawn = in_drawn_order(there, manifest.snapshot_id)[:most]
        return [there[path] for path in drawn], SnapshotRows(output, manifest)
    judge_id, found = records.judge_id or "", list[ShardRef]()
    entries = {entry.key: entry for entry in list_shards(source, prefix)}
    for path in in_drawn_order(entries, records.run_id)[: most * _TRIED]:
        entry = entries[path]
        key = shard_key(path, entry.size, contents.of(entry))
        if ranges := shard_parts(output, judge_id, key).ranges:
            found.append(ShardRef(path, key, ranges[-1][1]))
        if len(found) == most:
            break
    return found, PartRows(output, judge_id)
