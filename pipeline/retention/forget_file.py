"""Reads which pairs are to be forgotten: a file that people wrote."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import InputError

_HASH = re.compile(r"[0-9a-f]{64}")
_EXPECTED = "expected pair_id, pair_hash, or shard and row"


@dataclass(frozen=True)
class NamedPairs:
    """Pairs as a file names them.

    Attributes:
        ids: of pairs.
        hashes: of pairs.
        places: shard and row number.
    """

    ids: frozenset[str]
    hashes: frozenset[str]
    places: frozenset[tuple[str, int]]

    def names(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of labels is about one of them."""
        return (
            row["pair_id"] in self.ids
            or row["pair_hash"] in self.hashes
            or (row["shard"], row["row"]) in self.places
        )


def read_named(path: str) -> NamedPairs:
    """Reads a file.

    Args:
        path: ``.csv`` with a header or ``.jsonl``, both with ``pair_id``, ``pair_hash``, or
            ``shard`` and ``row``; any other has one pair a line, by its hash (64 hex digits) or id.

    Raises:
        InputError: it cannot be read, or a line names no pair; says which.
    """
    ids, hashes, places = set[str](), set[str](), set[tuple[str, int]]()
    for number, fields in _lines(Path(path)):
        try:
            if pair_id := fields.get("pair_id"):
                ids.add(str(pair_id))
            elif pair_hash := fields.get("pair_hash"):
                if not _HASH.fullmatch(str(pair_hash)):
                    raise ValueError(f"pair_hash {pair_hash!r:.80} has not 64 hex digits")
                hashes.add(str(pair_hash))
            elif fields.get("shard") and fields.get("row") not in (None, ""):
                places.add((str(fields["shard"]), int(fields["row"])))
            else:
                raise ValueError(f"got {sorted(map(str, fields))}, {_EXPECTED}")
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: line {number}: {error}; nothing was changed") from error
    if not (ids or hashes or places):
        raise InputError(f"{path}: it names no pair; {_EXPECTED} in each line")
    return NamedPairs(frozenset(ids), frozenset(hashes), frozenset(places))


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: it cannot be read ({error}); give a file of text") from error
    if path.suffix == ".csv":
        yield from enumerate(csv.DictReader(io.StringIO(text, newline="")), 2)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not (line := line.strip()):
            continue
        if path.suffix != ".jsonl":
            yield number, {"pair_hash" if _HASH.fullmatch(line) else "pair_id": line}
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}: line {number}: not JSON ({error})") from error
        if not isinstance(found, dict):
            raise InputError(f"{path}: line {number}: got {line[:80]!r}, expected an object")
        yield number, found
