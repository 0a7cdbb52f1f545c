"""The parts of an export: what all of them share, what each holds, and what became of its rows."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregation.labeler import Labeler
from pipeline.export.export_config import ExportConfig, MediaMode
from pipeline.export.export_file import FileRecord
from pipeline.export.formats.format_registry import TRAINER_FORMATS
from pipeline.export.labeled_shards import LabeledShard
from pipeline.export.trainer_format import Shape, TrainerFormat
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.store.object_store import Store

_FOLDER = "_parts"  # hidden from `datasets`
RECEIPT_VERSION = 3

# By prompt: labels of pairs that people have labelled, too; how many of them are wrong; and the sum
# of the 1 - p that is stated of them. A preference where people see a tie is wrong.
GoldCounts = dict[str, list[float]]


def add_counts(to: GoldCounts, more: GoldCounts) -> None:
    """Adds counts of prompts to those of the same ones."""
    for prompt, counts in more.items():
        before = to.get(prompt, [0, 0, 0.0])
        to[prompt] = [one + other for one, other in zip(before, counts, strict=True)]


@dataclass(frozen=True)
class Balance:
    """Which rows the balance of lengths drops.

    Attributes:
        sign: of the majority (see ``export_rules.length_sign``).
        share: of the majority that stays.
    """

    sign: int
    share: float


@dataclass(frozen=True)
class PartSpec:
    """What is the same for all parts of an export.

    Attributes:
        output: the output root, and ``folder`` the export's folder in it.
        source: the root of the shards, and ``media_roots`` where paths of media may point.
        max_media_bytes: of one medium.
        modes: how pictures and videos are written, those that are.
        calibrated: hashes of pairs whose answers in a gold set may have fitted probabilities.
        labelers: by judge, what says how likely labels of pairs with gold are (``cross_fitted``).
        read_seconds: how long each batch of pairs may take.
    """

    export_id: str
    snapshot_id: str
    output: Store
    folder: str
    source: Store
    media_roots: tuple[str, ...]
    max_media_bytes: int
    modes: Mapping[str, MediaMode]
    columns: PairMapping
    read_seconds: float
    config: ExportConfig
    shape: Shape
    balance: Balance | None = None
    calibrated: frozenset[str] = frozenset()
    labelers: Mapping[str, Labeler] = field(default_factory=dict)

    @property
    def format(self) -> TrainerFormat:
        """The trainer's format."""
        return TRAINER_FORMATS[self.config.format]


@dataclass(frozen=True)
class Piece:
    """A row group of a shard.

    Attributes:
        start: the number of its first row in the shard.
        kept: which of its rows are exported, packed.
    """

    shard: LabeledShard
    start: int
    rows: int
    kept: bytes

    def mark(self, kept: NDArray[np.bool_]) -> None:
        """Marks the rows that are exported among all rows of the shard."""
        bits = np.unpackbits(np.frombuffer(self.kept, np.uint8), count=self.rows)
        kept[self.start : self.start + self.rows] = bits


def receipts_folder(folder: str) -> str:
    """The folder of the receipts of an export's parts."""
    return f"{folder}/{_FOLDER}"


@dataclass(frozen=True)
class ExportPart:
    """What one task writes."""

    number: int
    pieces: tuple[Piece, ...]

    def receipt_key(self, folder: str) -> str:
        """The key of its receipt."""
        return f"{receipts_folder(folder)}/{self.number:05d}.json"


@dataclass
class PartReceipt:
    """What became of a part's rows.

    Attributes:
        export_id: of the export that it belongs to.
        kept: rows of the snapshot that were exported, by ``<tier>/<split>``.
        dropped: rows by reason.
        details: of some dropped rows, what was wrong, by reason.
        preferences: kept rows of which one response is better, ``calibrated`` of them with a
            calibrated probability p that people agree, and ``stated`` the sum of 1 - p of these.
        gold: of each prompt, by its key, those rows that people have labelled.
        longer, shorter: kept rows whose better response is the longer or the shorter one.
        sources: kept rows by their ``source``.
        decided: kept rows by what decided their labels; none of ranked sets.
        files: with tier and split of each.
        version: of what is counted; 1 has no preferences and no gold, 2 not what decided.
    """

    export_id: str
    number: int
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)
    preferences: int = 0
    calibrated: int = 0
    stated: float = 0.0
    gold: GoldCounts = field(default_factory=dict)
    longer: int = 0
    shorter: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    decided: Counter[str] = field(default_factory=Counter)
    files: list[tuple[str, str, FileRecord]] = field(default_factory=list)
    version: int = RECEIPT_VERSION

    def to_json(self) -> bytes:
        """The receipt as it is stored."""
        return json.dumps(vars(self), sort_keys=True).encode()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads a stored receipt; raises ValueError, TypeError or KeyError where it is none."""
        stored: dict[str, Any] = json.loads(data)
        for name in ("kept", "dropped", "sources", "decided"):
            stored[name] = Counter(stored.get(name, {}))
        if stored.setdefault("version", 1) == 1:
            for name in ("uncertainty", "sure"):  # what the judge thought of itself
                stored.pop(name, None)
        stored["files"] = [(tier, split, record) for tier, split, record in stored["files"]]
        return cls(**stored)


SetEnds = tuple[str | None, str | None]


@dataclass(frozen=True)
class ExportRange:
    """What is exported of a shard.

    Attributes:
        groups: rows and bytes of its row groups.
        kept: which of its rows are exported.
        sets: of each row group, the ranked sets of the first and the last of these rows; empty
            where parts may begin with any row group.
    """

    shard: LabeledShard
    groups: Sequence[tuple[int, int]]
    kept: NDArray[np.bool_]
    sets: Sequence[SetEnds] = ()


def cut_parts(
    ranges: Iterable[ExportRange], file_bytes: float, file_rows: int
) -> Iterator[ExportPart]:
    """Joins the row groups that have rows to export into parts of about the size asked for.

    Args:
        ranges: in the order of the shards.
        file_bytes: about so many bytes of exported rows, by what they take in the input.
        file_rows: at most so many exported rows, unless a row group has more, or a ranked set is in
            several.
    """
    number, pieces, held_bytes, held_rows = 0, list[Piece](), 0.0, 0
    last: str | None = None
    for each in ranges:
        start = 0
        for (rows, size), (first, end) in itertools.zip_longest(
            each.groups, each.sets or [(None, None)] * len(each.groups)
        ):
            kept = each.kept[start : start + rows]
            count = int(kept.sum())
            inside = first is not None and first == last  # of the set that the last piece ends with
            last = end if count else last
            full = held_bytes >= file_bytes or held_rows + count > file_rows
            if pieces and count and full and not inside:
                yield ExportPart(number, tuple(pieces))
                number, pieces, held_bytes, held_rows = number + 1, [], 0.0, 0
            if count:
                pieces.append(Piece(each.shard, start, rows, np.packbits(kept).tobytes()))
                held_bytes, held_rows = held_bytes + size * count / rows, held_rows + count
            start += rows
    if pieces:
        yield ExportPart(number, tuple(pieces))
