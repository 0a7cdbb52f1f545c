"""An output as it is reviewed: labels of a snapshot or of parts, their pairs, and their judges."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.gold.people import GoldConfig, read_people
from pipeline.judging.judge_cards import card_key, cards_of, judge_of
from pipeline.media.decoder import MediaDecoder
from pipeline.media.media_store import MediaStore
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import Groups, narrow_rows, open_groups
from pipeline.pairs.shards import list_shards, open_input, shard_key
from pipeline.parts.forgotten import forgotten_row
from pipeline.parts.label_index import open_index
from pipeline.parts.part_keys import judge_parts_prefix
from pipeline.report.label_rows import LabelRows, PartRows, SnapshotRows
from pipeline.review.input_columns import InputColumns
from pipeline.review.label_columns import LabelColumns, hash_keys, judge_columns, snapshot_columns
from pipeline.review.other_judges import OtherJudges
from pipeline.review.shown_text import shown
from pipeline.review.taken_down import TAKEN_DOWN, TakenDown
from pipeline.runtime.errors import ConfigError, InputError, StorageError
from pipeline.snapshots.manifests import read_latest
from pipeline.snapshots.snapshot_reader import open_manifest
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store
from schemas.labels import BY_SEVERAL, Reason
from schemas.manifest import Manifest

_HELD = 32  # pairs that were read last, with their pictures; and shards whose footers were
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """Labels that can be browsed: of a snapshot, or of the parts of one judge.

    Attributes:
        name: in addresses: a snapshot's id, or ``judge-`` and the beginning of a judge's id.
        title: for people.
        judge_id: who judged.
        manifest: of a snapshot; None of parts.
        keys: the identity of each shard as it was labelled, by path.
    """

    name: str
    title: str
    judge_id: str
    manifest: Manifest | None
    keys: Mapping[str, str] = field(repr=False)
    columns: LabelColumns = field(repr=False)
    rows: LabelRows = field(repr=False)


class Reviewed:
    """One output, opened for review; reads only, from any thread."""

    def __init__(
        self,
        output: Store,
        input_uri: str | None,
        columns: InputConfig,
        memory_bytes: int,
        snapshot: str | None = None,
        gold: GoldConfig | None = None,
    ) -> None:
        """Opens what is browsed first: a snapshot, or the parts of the only judge.

        Args:
            output: the output root.
            input_uri: the pairs, if they are not where they were when they were labelled.
            columns: how they are read.
            memory_bytes: what the columns that are filtered by may take.
            snapshot: an id; by default the live one.
            gold: the gold set whose answers count, if any.

        Raises:
            ConfigError: there are only parts, and no input is given.
            InputError: there is nothing to review, or no such snapshot.
            StorageError: the output or the input cannot be reached.
        """
        self.output, self._memory = output, memory_bytes
        self.cards = {card["judge_id"]: card for card in cards_of(output)}
        self.compositions: dict[str, str] = {}  # what several judges are together, by their id
        self._opening, self._reading = threading.Lock(), threading.Lock()
        self._pairs: OrderedDict[tuple[str, int], dict[str, Any] | None] = OrderedDict()
        self._groups: OrderedDict[str, tuple[Groups, list[int]]] = OrderedDict()
        self._sources: dict[str, Source] = {}
        self.taken_down = TakenDown(output)
        self.people = read_people(output, gold or GoldConfig()).gold
        manifest = self._first_manifest(snapshot)
        uri = input_uri or (manifest.input if manifest else None)
        if uri is None:
            raise ConfigError(
                f"{output.uri}: nothing is published there yet; give --input, the pairs that were "
                "labelled, to browse the parts"
            )
        self.input_uri, self._columns = uri, columns
        self._store, prefix = open_input(uri)
        self._contents = ContentKeys(self._store, Store(output.uri))
        self.entries = self._listed(prefix)
        self._media = MediaStore((*columns.media_roots, self._store.uri), 2**28)
        self.first = self._of_manifest(manifest) if manifest else self._of_parts()
        self._sources[self.first.name] = self.first
        self._label_of = self._read_label
        if manifest:  # a snapshot's rows never change, and a page of a pair needs its own thrice
            self._label_of = lru_cache(_HELD)(self._read_label)

    @cached_property
    def inputs(self) -> InputColumns:
        """Gold and sources of the pairs; reading them is up to the caller."""
        current = {
            path: entry
            for path, entry in self.entries.items()
            if self.first.keys.get(path) == self._key(entry)
        }
        return InputColumns(self.first.columns, self._store, current, self._columns, self.people)

    @cached_property
    def other_judges(self) -> OtherJudges:
        """What the other judges of the output say; reading it is up to the caller."""
        return OtherJudges(
            {
                judge_id: partial(judge_columns, self.output, judge_id, self.first.keys, 0)
                for judge_id in self.cards
                if judge_id != self.first.judge_id
            }
        )

    def read_columns(self) -> None:
        """Reads all that rows are filtered by beside labels; to be run in a thread of its own."""
        self.inputs.read_all()
        self.other_judges.read_all()

    def stop_reading(self) -> None:
        """Ends :meth:`read_columns` soon."""
        self.inputs.stop()
        self.other_judges.stop()

    @cached_property
    def decoder(self) -> MediaDecoder:
        """Decodes pictures within the judge's limits, in processes that may die."""
        return MediaDecoder(judge_of(dict(self.cards[self.first.judge_id])).media)

    @property
    def snapshot_id(self) -> str | None:
        """The snapshot that is browsed; None where parts are."""
        return self.first.manifest.snapshot_id if self.first.manifest else None

    def source(self, name: str) -> Source:
        """Labels by their name, as :class:`Source` has it.

        Raises:
            InputError: there are no such labels.
            StorageError: the store fails.
        """
        with self._opening:
            if name not in self._sources:
                self._sources[name] = self._opened(name)
            return self._sources[name]

    def others(self) -> list[tuple[str, str]]:
        """Name and title of what the first source can be compared with."""
        found = []
        if self.first.manifest and self.first.manifest.parent:
            found.append((self.first.manifest.parent, "the snapshot before"))
        for judge_id in self.cards:
            if judge_id not in (self.first.judge_id, *self.compositions):
                found.append((f"judge-{judge_id[:16]}", f"judge {self.judge_name(judge_id)}"))
        return found

    def label(self, shard: str, row: int) -> dict[str, Any] | None:
        """A row of labels v2 with its votes; None without one.

        Of a pair that was taken down, in whatever snapshot, only the place is left.
        """
        found = self._labelled(shard, row)
        if found is None or found["reason"] == Reason.FORGOTTEN:
            return found and found | {"votes": []}
        votes = self.first.rows.votes(shard, self.first.keys[shard], [row])
        return found | {"votes": votes.get(row, [])}

    def pair(self, shard: str, row: int) -> tuple[dict[str, Any] | None, str | None]:
        """A row of pairs v2, or None, and what is wrong with it."""
        entry = self.entries.get(shard)
        if entry is None:
            return None, "The shard is not in the input any more."
        if self._key(entry) != self.first.keys.get(shard):
            return None, "The shard was rewritten since its rows were labelled."
        try:
            label, found = self._labelled(shard, row), self._row(entry, row)
            if label is not None and label["reason"] == Reason.FORGOTTEN:
                return None, TAKEN_DOWN
            if found is not None and self.taken_down.now().knows(found["pair_id"], None):
                return None, TAKEN_DOWN
        except (InputError, StorageError, pa.ArrowException) as error:
            return None, shown(str(error))
        if found is None:
            return None, "The shard has no such row."
        return found, None if found["defect"] is None else shown(found["defect"])

    def may_show(self, shard: str, row: int) -> bool:
        """Whether a row is about no pair that was taken down."""
        if not self.taken_down.now():
            return True
        label = self._labelled(shard, row)
        return label is None or label["reason"] != Reason.FORGOTTEN

    def find_pair(self, pair_hash: str) -> tuple[str, int] | None:
        """Where a pair lies among the labels that are browsed; None if it is not there."""
        wanted = hash_keys(pa.chunked_array([[pair_hash]]))[0]
        for block in self.first.columns.blocks():
            found = np.flatnonzero(block.key == wanted)
            if len(found):
                number, row = int(block.shard[found[0]]), int(block.row[found[0]])
                return list(self.first.columns.shards)[number], row
        return None

    def texts(self, shard: str) -> tuple[int, list[pa.Table]]:
        """Prompts and candidates of a shard without media, and the number of the first row.

        Raises:
            InputError: it is not the one that was labelled.
            StorageError: the store fails.
            pa.ArrowException: it is corrupt.
        """
        entry = self.entries.get(shard)
        if entry is None or self._key(entry) != self.first.keys.get(shard):
            raise InputError("it was removed or rewritten since its rows were labelled")
        mapping = self._columns.mapping().narrowed(("messages", "candidates"))
        return narrow_rows(self._store, entry, mapping, self._columns.read_seconds)

    def media(self, reference: Row) -> bytes:
        """The bytes of a picture or a clip; raises as :meth:`MediaStore.fetch` does."""
        return self._media.fetch(reference)

    def labels_by_judges(self, label: Row) -> list[Row]:
        """What each judge of the output says of a pair, the label itself first.

        A label of several judges has no votes here: each judge's stand beside what it says.
        """
        several = label["judge_id"] in self.compositions
        found: list[Row] = [{**label, "votes": []} if several else label]
        for judge_id in self.cards:
            if judge_id in (label["judge_id"], *self.compositions) or label["pair_hash"] is None:
                continue
            other = open_index(self.output, judge_id).find(label["pair_hash"])
            if other is not None:
                found.append(other)
        return found

    def former_label(self, label: Row) -> dict[str, Any] | None:
        """The label of the same row and pair in the snapshot before; None without one."""
        made = self.first.manifest
        if made is None or made.parent is None:
            return None
        try:
            parent = self.source(made.parent)
        except InputError:
            return None  # it is removed
        key = parent.keys.get(label["shard"])
        if key is None:
            return None
        rows = parent.rows.rows(label["shard"], key, label["row"], label["row"] + 1)
        same = [row for row in rows if row["pair_hash"] == label["pair_hash"]]
        return same[0] if same else None

    def lineage(self, label: Row) -> dict[str, str]:
        """Where a label comes from."""
        made = self.first.manifest
        stated = {
            "judge": self.judge_name(label["judge_id"]),
            "judge id": label["judge_id"],
            "judge card": ", ".join(self._card_paths(label["judge_id"])),
            "decided by": self.judge_name(label["decided_by"]) if self._by_one(label) else "",
            "policy": label["policy_id"] or "",
            "calibration": (made.policy.calibration_id or "none") if made and made.policy else "",
            "judged by run": label["run_id"] or "",
            "judged at": str(label["judged_at"] or ""),
            "unit": label["unit"] or "",
            "snapshot": made.snapshot_id if made else "not published",
            "published by run": made.created_by if made else "",
        }
        return {name: value for name, value in stated.items() if value}

    def judge_name(self, judge_id: str) -> str:
        """A judge for people: its model and the beginning of its id; or of which judges."""
        if judge_id == BY_SEVERAL:
            return "all judges together"
        if (together := self.compositions.get(judge_id)) is not None:
            return f"{together} ({judge_id[:8]})"
        card = self.cards.get(judge_id)
        model = card["judge"]["model"]["name"] if card else "unknown model"
        return shown(f"{model.rstrip('/').rpartition('/')[2]} ({judge_id[:8]})")

    def _card_paths(self, judge_id: str) -> list[str]:
        """Where the cards of a label's judges are."""
        made = self.first.manifest
        several = made.judges if made and judge_id in self.compositions else ()
        ids = [card["judge_id"] for card in several] or [judge_id]
        return [self.output.path(card_key(each)) for each in ids]

    def _by_one(self, label: Row) -> bool:
        """Whether one judge of several has decided a label."""
        return label["judge_id"] in self.compositions and label["decided_by"] in self.cards

    def _labelled(self, shard: str, row: int) -> dict[str, Any] | None:
        """A row of labels without its votes, and without anything of a pair that was taken down."""
        label = self._label_of(shard, row)
        if label is None:
            return None
        known = self.taken_down.now().knows(label["pair_id"], label["pair_hash"])
        return forgotten_row(label) if known else {**label}

    def _read_label(self, shard: str, row: int) -> Row | None:
        """A row of labels without its votes, as it is stored."""
        key = self.first.keys.get(shard)
        rows = self.first.rows.rows(shard, key, row, row + 1) if key is not None else []
        return next(iter(rows), None)

    def _first_manifest(self, snapshot: str | None) -> Manifest | None:
        if snapshot is not None:
            return open_manifest(self.output, snapshot)
        latest = read_latest(self.output)
        return open_manifest(self.output, latest.snapshot_id) if latest else None

    def _listed(self, prefix: str) -> dict[str, Entry]:
        try:
            return {entry.key: entry for entry in list_shards(self._store, prefix)}
        except InputError:  # the pairs are gone; their labels can be read
            return {}

    def _opened(self, name: str) -> Source:
        if not name.startswith("judge-"):
            return self._of_manifest(open_manifest(self.output, name))
        digits = name.removeprefix("judge-")
        judges = [each for each in self.cards if digits and each.startswith(digits)]
        if len(judges) != 1:
            raise InputError(f"there is no judge {digits!r} in {self.output.uri}")
        return self._of_judge(judges[0])

    def _of_manifest(self, manifest: Manifest) -> Source:
        columns = snapshot_columns(self.output, manifest, self._memory)
        keys = {shard.path: shard.shard_key for shard in manifest.shards}
        rows = SnapshotRows(self.output, manifest)
        title = f"snapshot {manifest.snapshot_id}"
        judge_id = manifest.judge["judge_id"]
        self.cards.setdefault(judge_id, dict(manifest.judge))
        if manifest.judges and manifest.policy:
            kind, count = manifest.policy.rule["kind"], len(manifest.judges)
            self.compositions[judge_id] = f"{kind} of {count} judges"
        return Source(manifest.snapshot_id, title, judge_id, manifest, keys, columns, rows)

    def _of_parts(self) -> Source:
        judged = [each for each in self.cards if self._has_parts(each)]
        if not judged:
            raise InputError(
                f"{self.output.uri}: nothing is labelled there; expected an output of pairmill "
                "label or nightly"
            )
        return self._of_judge(judged[-1])

    def _of_judge(self, judge_id: str) -> Source:
        keys = {path: self._key(entry) for path, entry in self.entries.items()}
        columns = judge_columns(self.output, judge_id, keys, self._memory)
        rows = PartRows(self.output, judge_id)
        title = f"labels of judge {self.judge_name(judge_id)}, not published"
        return Source(f"judge-{judge_id[:16]}", title, judge_id, None, keys, columns, rows)

    def _has_parts(self, judge_id: str) -> bool:
        return next(iter(self.output.list(judge_parts_prefix(judge_id))), None) is not None

    def _key(self, entry: Entry) -> str:
        return shard_key(entry.key, entry.size, self._contents.of(entry))

    def _row(self, entry: Entry, row: int) -> dict[str, Any] | None:
        """A pair; those read last are kept, since each of its pictures is asked for by itself."""
        place = (entry.key, row)
        with self._reading:
            if place not in self._pairs:
                self._pairs[place] = self._read_row(entry, row)
                while len(self._pairs) > _HELD:
                    self._pairs.popitem(last=False)
            return self._pairs[place]

    def _read_row(self, entry: Entry, row: int) -> dict[str, Any] | None:
        groups, starts = self._opened_groups(entry)
        for group in range(groups.count):
            if not starts[group] <= row < starts[group + 1]:
                continue
            start = starts[group]
            for table in groups.read(group):
                if row - start < table.num_rows:
                    found: dict[str, Any] = table.slice(row - start, 1).to_pylist()[0]
                    return found
                start += table.num_rows
        return None

    def _opened_groups(self, entry: Entry) -> tuple[Groups, list[int]]:
        """A shard, and the numbers of the first rows of its row groups."""
        if entry.key not in self._groups:
            how = (self._columns.mapping(), self._columns.read_seconds)
            groups = open_groups(self._store, entry.key, entry.size, *how)
            rows = map(groups.rows, range(groups.count))
            self._groups[entry.key] = groups, [0, *itertools.accumulate(rows)]
            while len(self._groups) > _HELD:
                self._groups.popitem(last=False)
        return self._groups[entry.key]
