"""The keys of parts, which say what a part holds, and which parts of a shard version count.

A part is at ``parts/judge=<judge>/<path>/<version>/<start>-<stop>.<revision>.parquet``: folders for
the judge, the shard's path and its version; the name is the range of rows and a revision, from 1.
Names without a revision, which earlier versions wrote, count as revision 0. Revision n + 1 covers
the rows of revision n and carries all of its votes, so that the highest one counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.pairs.shards import PATH_DIGITS

_VERSION_DIGITS = 32
_PART_NAME = re.compile(r"(\d{9})-(\d{9})(?:\.([1-9]\d*))?\.parquet")


@dataclass(frozen=True, order=True)
class Part:
    """A stored part: rows ``[start, stop)`` of a shard version, in one revision."""

    start: int
    stop: int
    revision: int
    key: str

    @classmethod
    def of(cls, key: str) -> Part | None:
        """The part that a key names; None if it is no part's."""
        match = _PART_NAME.fullmatch(key.rpartition("/")[2])
        return cls(int(match[1]), int(match[2]), int(match[3] or 0), key) if match else None

    @property
    def rows(self) -> tuple[int, int]:
        """The range of rows."""
        return self.start, self.stop


@dataclass(frozen=True)
class ShardParts:
    """The parts of one version of a shard.

    Attributes:
        parts: those that count, ascending and without overlap.
        doubled: those that do not since others hold rows of theirs, which two runs at once can
            cause: of two parts that overlap, the one counts that starts first, and of these the
            longer one.
        revised: those that a higher revision takes the place of.
    """

    parts: tuple[Part, ...] = ()
    doubled: tuple[Part, ...] = ()
    revised: tuple[Part, ...] = ()

    @classmethod
    def of(cls, keys: Iterable[str]) -> ShardParts:
        """Chooses among the keys of a shard version's folder; keys of other objects are ignored."""
        newest: dict[tuple[int, int], Part] = {}
        revised = []
        for part in sorted(part for key in keys if (part := Part.of(key))):
            if part.rows in newest:
                revised.append(newest[part.rows])
            newest[part.rows] = part
        parts, doubled, reached = [], [], 0
        for part in sorted(newest.values(), key=lambda each: (each.start, -each.stop)):
            if part.start < reached:
                doubled.append(part)
            else:
                parts.append(part)
                reached = max(reached, part.stop)
        return cls(tuple(parts), tuple(doubled), tuple(revised))

    @property
    def all(self) -> tuple[Part, ...]:
        """All of them."""
        return (*self.parts, *self.doubled, *self.revised)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The row ranges of the parts that count, ascending."""
        return [part.rows for part in self.parts]


def part_name(start: int, stop: int, revision: int) -> str:
    """The name of a part; revision 0 is that of labels v1, and not in the name."""
    suffix = f".{revision}" if revision else ""
    return f"{row_range(start, stop)}{suffix}.parquet"


def row_range(start: int, stop: int) -> str:
    """A row range, as in names of objects and in labels."""
    return f"{start:09d}-{stop:09d}"


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
