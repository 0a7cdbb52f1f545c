"""What runs left in an output: records, canaries, marks of attempts, derived labels."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pipeline.parts.part_keys import Part
from pipeline.parts.units import subtract
from pipeline.retention.stored import (
    JUDGE,
    PART,
    ROWS,
    RUN,
    SHARD,
    Stored,
    grouped,
    run_time,
    time_of,
)
from pipeline.retention.things import Thing

_ATTEMPT = rf"(?:alone|shared)/({RUN})\.\d+"
RUN_FILES = rf"({RUN})/(?:(?:run|nightly|hooks|metrics)\.json|report\.html|stop)"
CANARIES = rf"({RUN})/(?:parts/({JUDGE})/{PART}|attempts/{JUDGE}/{SHARD}/{ROWS}/{_ATTEMPT})"
PROBES = r"([0-9a-f]{16})/.+"
UNIT_MARKS = rf"({JUDGE}/{SHARD}/{ROWS})/{_ATTEMPT}"
START_MARKS = rf"({JUDGE}/starts/({RUN}))/[0-9a-f]{{16}}\.(?:begun|ready)"
DERIVED = rf"({JUDGE}/policy=[0-9a-f]{{16}}(?:-pairs)?)/(?:{PART}|derivation\.json)"


def stored_runs(stored: Stored) -> Iterator[Thing]:
    """The records of every run; the newest that judged are what later runs are held against."""
    judged: set[tuple[Any, Any]] = set()
    found = grouped(stored.matching("runs", RUN_FILES))
    for name in sorted(found, reverse=True):  # run ids begin with their time
        entries = tuple(entry for _, entry in found[name])
        record = _json(stored, f"runs/{name}/run.json") or {}
        about = (record.get("judge_id"), record.get("input"))
        needed = ""
        if name == stored.run_id:
            needed = "is this run"
        elif stored.latest is not None and name == stored.latest.published_by:
            needed = "published what is live, and says which hooks have run"
        elif record.get("pairs") and about not in judged:
            needed = "is the newest that judged with its judge"
        if record.get("pairs"):
            judged.add(about)
        yield Thing(name, entries, born=run_time(name), needed=needed)


def stored_canaries(stored: Stored) -> Iterator[Thing]:
    """The canaries of every run; the gate compares with the newest ones of its judge."""
    found = grouped(stored.matching("canaries", CANARIES))
    newest: dict[str | None, str] = {}
    for name in sorted(found):
        newest |= {match[2]: name for match, _ in found[name] if match[2]}
    for name, objects in found.items():
        needed = "has the newest of its judge" if name in newest.values() else ""
        needed = "is this run" if name == stored.run_id else needed
        entries = tuple(entry for _, entry in objects)
        yield Thing(name, entries, born=run_time(name), needed=needed)


def stored_probes(stored: Stored) -> Iterator[Thing]:
    """The probes of every judge and version of gold: votes, pairs and the record."""
    live = stored.manifests[stored.latest.snapshot_id].judge["judge_id"] if stored.latest else None
    for name, objects in grouped(stored.matching("probes", PROBES)).items():
        record = _json(stored, f"probes/{name}/probes.json") or {}
        of_live = live is not None and record.get("judge_id") == live
        needed = "is of the judge that is live" * of_live
        yield Thing(name, tuple(entry for _, entry in objects), needed=needed)


def stored_attempts(stored: Stored) -> Iterator[Thing]:
    """The marks of each unit, and of each run's engines; marks of open rows find what kills."""
    done = defaultdict(list)
    for match, entry in stored.matching("parts", rf"({JUDGE}/{SHARD})/.*"):
        if part := Part.of(entry.key):
            done[match[1]].append(part.rows)
    for name, objects in grouped(stored.matching("attempts", UNIT_MARKS)).items():
        shard, _, rows = name.rpartition("/")
        start, stop = map(int, rows.split("-"))
        needed = "not all of its rows are committed" * bool(subtract([(start, stop)], done[shard]))
        born = max(filter(None, (run_time(match[2]) for match, _ in objects)), default=None)
        yield Thing(name, tuple(entry for _, entry in objects), born=born, needed=needed)
    for name, objects in grouped(stored.matching("attempts", START_MARKS)).items():
        run = objects[0][0][2]
        needed = "is this run" * (run == stored.run_id)
        yield Thing(name, tuple(entry for _, entry in objects), born=run_time(run), needed=needed)


def stored_derivations(stored: Stored) -> Iterator[Thing]:
    """The folder of each policy, by the record that comes last.

    Who derives holds the lease, as who removes does: one without a record was ended.
    """
    for name, objects in grouped(stored.matching("derived", DERIVED)).items():
        key = f"derived/{name}/derivation.json"
        first = tuple(entry for _, entry in objects if entry.key == key)
        rest = tuple(entry for _, entry in objects if entry.key != key)
        record = _json(stored, key) if first else None
        born = time_of(str(record.get("derived_at"))) if record else None
        useless = "" if first else "has no derivation.json: what made or removed it was ended"
        yield Thing(name, first, rest, born, useless=useless)


def _json(stored: Stored, key: str) -> dict[str, Any] | None:
    """A record; None if it is not there or is none, so that nothing follows from it."""
    if not any(entry.key == key for entry in stored.under(key.partition("/")[0])):
        return None
    try:
        found = json.loads(stored.output.read(key))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
