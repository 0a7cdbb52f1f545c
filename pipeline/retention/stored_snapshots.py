"""The snapshots of an output: published ones, refused candidates, and what was never finished."""

from __future__ import annotations

import datetime
from collections.abc import Container, Iterable, Iterator, Mapping

from pipeline.retention.stored import SNAPSHOT, Stored, grouped, time_of
from pipeline.retention.things import Thing
from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import lost_files, manifest_key
from pipeline.snapshots.quality.group_tally import Tallies
from schemas.manifest import Manifest

_RECORDS = r"(?:manifest|quality)\.json|tallies\.jsonl\.gz|gate/\d+\.json"
PATTERN = rf"({SNAPSHOT})/(?:{_RECORDS}|(?:labels|quarantine|votes)/\d{{5}}\.parquet)"
FILES = r"files/[0-9a-f]{64}\.parquet"
_DATELESS = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def stored_snapshots(stored: Stored) -> Iterator[Thing]:
    """Every snapshot's folder; without its manifest nobody opens the rest."""
    ages, needed = _ages(stored.manifests), stored.needed_snapshots
    sizes = {entry.key: entry.size for entry in stored.under("snapshots")}
    for name, found in grouped(stored.matching("snapshots", PATTERN)).items():
        entries = [entry for _, entry in found]
        if name not in stored.manifests:
            why = "has no manifest: its publisher, or its removal, was ended"
            yield Thing(name, (), tuple(entries), useless=why)
            continue
        first = tuple(entry for entry in entries if entry.key == manifest_key(name))
        rest = tuple(entry for entry in entries if entry.key != manifest_key(name))
        born, order = ages[name]
        lost = lost_files(stored.manifests[name], sizes)
        useless = "its files are not there: its manifest came late, or they were removed"
        why = needed.get(name, "")
        yield Thing(name, first, rest, born, order, needed=why, useless=useless if lost else "")


def stored_tallies(stored: Stored, held: Container[str]) -> Iterator[Thing]:
    """Those tallies of snapshots that stay whose groups were searched for certain pairs.

    A snapshot without its tallies is as good: the next one is read as a whole.

    Args:
        stored: the output.
        held: the hashes of the pairs.
    """
    for _, entry in stored.matching("snapshots", rf"{SNAPSHOT}/tallies\.jsonl\.gz"):
        snapshot_id = entry.key.split("/")[1]
        if snapshot_id in stored.staying:
            try:
                found = Tallies.read(stored.output, snapshot_id)
            except InputError:  # what it holds is not known
                found = None
            if found is None or any(pair in held for pair in found.asked):
                yield Thing(entry.key, (entry,))


def stored_snapshot_files(stored: Stored) -> Iterator[Thing]:
    """The files that snapshots share, as far as none that stays names them."""
    needed = needed_files(stored.staying.values())
    found = (entry for _, entry in stored.matching("snapshots", FILES))
    left = tuple(entry for entry in found if entry.key not in needed)
    yield Thing("files", (), left, useless="no snapshot names them")


def needed_files(manifests: Iterable[Manifest]) -> frozenset[str]:
    """The keys of the files that some of these snapshots name."""
    return frozenset(file.path for manifest in manifests for file in manifest.files)


def _ages(manifests: Mapping[str, Manifest]) -> dict[str, tuple[datetime.datetime, int]]:
    """When each was made, and the length of its line of parents.

    A snapshot is never older than its parent, whatever its clock showed: one that
    was published while a clock was back is not taken for the oldest.
    """
    ages: dict[str, tuple[datetime.datetime, int]] = {}
    for name in manifests:
        line = [name]
        while (parent := manifests[line[-1]].parent) is not None and parent in manifests:
            if parent in ages or parent in line:
                break
            line.append(parent)
        for each in reversed(line):
            before, order = ages.get(manifests[each].parent or "", (_DATELESS, 0))
            own = time_of(manifests[each].created_at) or _DATELESS
            ages[each] = (max(own, before), order + 1)
    return ages
