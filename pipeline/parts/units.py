"""Units of work: row ranges of a shard, made of its row groups minus the committed rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.parts.part_keys import judge_folder, part_name, parts_prefix, row_range, shard_folders


@dataclass(frozen=True, order=True)
class Unit:
    """Rows ``[start, stop)`` of one version of a shard: what is judged and committed at once.

    Attributes:
        shard: path relative to the input root.
        shard_key: identity of the shard's content (``fingerprint.shard_key``).
    """

    shard: str
    shard_key: str
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return self.stop - self.start

    @property
    def name(self) -> str:
        """The row range, as in object names and labels."""
        return row_range(self.start, self.stop)

    def part_key(self, judge_id: str, revision: int = 1) -> str:
        """The key of a revision of the unit's part under the output root."""
        name = part_name(self.start, self.stop, revision)
        return f"{parts_prefix(judge_id, self.shard_key)}/{name}"

    def attempts_prefix(self, judge_id: str) -> str:
        """The folder of the unit's attempt marks under the output root."""
        return f"attempts/{judge_folder(judge_id)}/{shard_folders(self.shard_key)}/{self.name}"

    def split(self, pieces: int) -> list[Unit]:
        """Splits the unit into at most ``pieces`` nearly equal units."""
        pieces = min(pieces, self.rows)
        bounds = [self.start + self.rows * i // pieces for i in range(pieces + 1)]
        return [
            Unit(self.shard, self.shard_key, start, stop)
            for start, stop in itertools.pairwise(bounds)
        ]


@dataclass(frozen=True)
class RowGroup:
    """Rows and bytes of one Parquet row group.

    Attributes:
        bytes: encoded but not compressed; a value that a dictionary holds counts once, however
            many rows share it, so that decoded rows can be far larger.
    """

    rows: int
    bytes: int


def unit_ranges(groups: Sequence[RowGroup], max_rows: int, max_bytes: int) -> list[tuple[int, int]]:
    """Divides a shard into row ranges of at most ``max_rows`` rows and about ``max_bytes`` bytes.

    Bytes are the encoded ones of :class:`RowGroup`; the reader splits what decoding makes too
    large. Small neighbouring row groups are joined; a large one is split evenly. A range has at
    least one row.
    """
    ranges: list[tuple[int, int]] = []
    start = row = held = 0
    for group in groups:
        fits = row - start + group.rows <= max_rows and held + group.bytes <= max_bytes
        if not fits and row > start:
            ranges.append((start, row))
            start, held = row, 0
        row, held = row + group.rows, held + group.bytes
        if row > start and (
            row - start > max_rows or held > max_bytes
        ):  # one group, too large by itself
            pieces = max(-(-(row - start) // max_rows), -(-held // max_bytes))
            whole = Unit("", "", start, row).split(pieces)
            ranges.extend((unit.start, unit.stop) for unit in whole)
            start, held = row, 0
    if row > start:
        ranges.append((start, row))
    return ranges


def subtract(
    ranges: Iterable[tuple[int, int]], done: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """What no range of ``done`` covers of ``ranges``, whatever sizes units had in earlier runs."""
    done = sorted(done)
    left: list[tuple[int, int]] = []
    for start, stop in ranges:
        for done_start, done_stop in done:
            if done_stop <= start:
                continue
            if done_start >= stop:
                break
            if done_start > start:
                left.append((start, done_start))
            start = max(start, done_stop)
        if start < stop:
            left.append((start, stop))
    return left
