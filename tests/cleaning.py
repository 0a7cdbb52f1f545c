"""Outputs to be cleaned, and what must be left of them, counted without the code that cleans."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.clean import main
from pipeline.store.object_store import Store
from tests.publishing import Outcome, run_on

Vote = tuple[str, str, str]  # the hash of its pair, the order of the candidates, the rationale

# What people put into an output: beside our objects, in our folders, under names like ours.
THEIRS = (
    "notes.txt",
    "snapshots/README.md",
    "snapshots/0123456789abcdef/labels/mine.parquet",
    "exports/0123456789abcdef/trl-dpo/train-00000.parquet",
    "exports/own/data.json",
    "parts/judge=0123456789abcdef/mine.parquet",
    "attempts/judge=0123456789abcdef/notes",
    "runs/20200101T000000-abcdef/notes.md",
    "runs/mine/run.json",
    "canaries/20200101T000000-abcdef/pairs.parquet",
    "derived/judge=0123456789abcdef/policy=mine/derivation.json",
    "index/judge=0123456789abcdef/files/mine.parquet",
)


def run_clean(output: Store, *arguments: str) -> Outcome:
    """``python -m jobs.clean`` in this process."""
    return run_on(main, output, *arguments)


def gone(outcome: Outcome, event: str = "removed") -> dict[tuple[str, str], str]:
    """Kind and name of what went, or would go, and why."""
    found = [each for each in outcome.events if each["event"] == event]
    return {(each["kind"], each["name"]): each["why"] for each in found}


def objects(output: Store) -> dict[str, bytes]:
    """Every object of an output, but for leases."""
    keys = [entry.key for entry in output.list() if not entry.key.startswith("leases/")]
    return {key: output.read(key) for key in keys}


def stored_votes(output: Store) -> set[Vote]:
    """Every vote in any part."""
    return {vote for entry in output.list("parts") for vote in votes_of(output.read(entry.key))}


def votes_of(part: bytes) -> set[Vote]:
    """The votes in a part; none in what is no part."""
    try:
        rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(part)).to_pylist()
    except pa.ArrowInvalid:
        return set()
    return {
        (row["pair_hash"], vote["order"], vote["rationale"])
        for row in rows
        for vote in row["votes"] or ()
    }
