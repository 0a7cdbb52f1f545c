"""Runs ``jobs.nightly`` in tests, and reads the records that a nightly run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs.nightly import main
from pipeline.store.object_store import Store
from tests.labeling import Outcome, Row, label_arguments, run_job
from tests.publishing import live_rows
from tests.shards import pair, write_shard


def run_nightly(config: Path, source: object, output: object, *arguments: str) -> Outcome:
    """Runs ``jobs.nightly`` in this process."""
    return run_job(main, label_arguments(config, source, output, *arguments))


def nights(output: object) -> list[dict[str, Any]]:
    """The records of all nightly runs, oldest first."""
    store = Store(str(output))
    keys = [entry.key for entry in store.list("runs") if entry.key.endswith("/nightly.json")]
    found = [json.loads(store.read(key)) for key in keys]
    return sorted(found, key=lambda record: str(record["started_at"]))


def steps_of(record: dict[str, Any]) -> dict[str, str]:
    """The state of each step of a nightly run, in order."""
    return {step["name"]: step["state"] for step in record["steps"]}


def detail_of(record: dict[str, Any], name: str) -> dict[str, Any]:
    """The details that a step of a nightly run has recorded."""
    (found,) = (step["detail"] for step in record["steps"] if step["name"] == name)
    detail: dict[str, Any] = found
    return detail


def write_corpus(source: Path) -> dict[str, list[Row]]:
    """Writes two shards; returns their rows."""
    shards = {
        "a.parquet": [pair(n) for n in range(40)],
        "b.parquet": [pair(n) for n in range(40, 60)],
    }
    for name, rows in shards.items():
        write_shard(source / name, rows)
    return shards


def published(output: Path) -> list[tuple[str, int]]:
    """Shard and row of every row of the live snapshot, in order."""
    store = Store(str(output))
    rows = [*live_rows(store), *live_rows(store, "quarantine")]
    return sorted((row["shard"], row["row"]) for row in rows)


def rows_of(shards: dict[str, list[Row]]) -> list[tuple[str, int]]:
    """Shard and row of every row of an input, in order."""
    return sorted((name, n) for name, rows in shards.items() for n in range(len(rows)))
