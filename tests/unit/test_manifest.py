"""A manifest is whole, of this version, and its counts reconcile; or it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contract import ContractError
from schemas.labels import Status
from schemas.manifest import OUTCOMES, InputShard, Manifest, SnapshotFile

COUNTS = st.fixed_dictionaries({outcome: st.integers(0, 50) for outcome in OUTCOMES})
WHERE = "out/manifest.json"


def manifest_of(shards: list[dict[str, int]], gate: dict[str, Any] | None = None) -> Manifest:
    """A manifest of shards with these counts."""
    totals = {outcome: sum(counts[outcome] for counts in shards) for outcome in OUTCOMES}
    labels = sum(totals[status] for status in (Status.LABELED, Status.TIE, Status.ABSTAINED))
    quarantined = totals[Status.QUARANTINED]
    return Manifest(
        snapshot_id="ab12",
        created_at="2026-01-02T03:04:05+00:00",
        created_by="run",
        parent=None,
        judge={"judge_id": "cd" * 32},
        policy_ids=("p",),
        run_ids=("r", "s"),
        schemas={"labels": "snapshot-labels/v1"},
        input="s3://bucket/in",
        rows=sum(totals.values()),
        counts=totals,
        shards=tuple(
            InputShard(f"{n}.parquet", 10, "etag", f"key-{n}", sum(counts.values()), counts)
            for n, counts in enumerate(shards)
        ),
        files=(
            SnapshotFile("labels", "labels/00000.parquet", labels, 9, "ef" * 32),
            SnapshotFile("quarantine", "quarantine/00000.parquet", quarantined, 8, "ef" * 32),
            SnapshotFile("votes", "votes/00000.parquet", 2, 7, "ef" * 32),
        ),
        gate=gate,
    )


ONE = manifest_of([dict.fromkeys(OUTCOMES, 1), dict.fromkeys(OUTCOMES, 2)])


@given(st.lists(COUNTS, max_size=4), st.none() | st.booleans())
def test_it_comes_back(shards: list[dict[str, int]], passed: bool | None) -> None:
    manifest = manifest_of(shards, None if passed is None else {"passed": passed, "more": [1]})
    again = Manifest.parse(manifest.to_json(), WHERE)
    assert again == manifest
    assert again.blocked is (passed is False)
    assert again.total_bytes == 24


@given(st.sampled_from(OUTCOMES), st.sampled_from((-1, 1)), st.sampled_from(("whole", "shard")))
def test_a_count_that_is_off_by_one(outcome: str, by: int, where: str) -> None:
    stored = json.loads(ONE.to_json())
    counts = stored["counts"] if where == "whole" else stored["shards"][1]["counts"]
    counts[outcome] += by
    said = {"whole": "the shards add up to 15 rows", "shard": r"shard 1\.parquet: got .* 10 rows"}
    with pytest.raises(ContractError, match=said[where]):
        Manifest.parse(json.dumps(stored).encode(), WHERE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": 16}, "the shards add up to 15 rows"),
        ({"files": []}, "the files of labels hold 0 rows, expected 9"),
        ({"version": "manifest/v2"}, "version: got 'manifest/v2', expected 'manifest/v1'"),
        ({"version": None}, "version: got None, expected 'manifest/v1'"),
        ({"more": 1}, "more: got 1, expected no such field"),
        ({"rows": "15"}, "rows: got '15', expected a valid integer"),
        ({"rows": True}, "rows: got True, expected a valid integer"),
        ({"policy_ids": ["p", 1]}, "policy_ids.1: got 1, expected a valid string"),
        ({"gate": {"metric": 1}}, "gate.passed: got None, expected a boolean"),
        ({"gate": {"passed": 1}}, "gate.passed: got 1, expected a boolean"),
        ({"shards": [1]}, "shards.0: got 1, expected an object"),
        ({"counts": {"labeled": "3"}}, "counts.labeled: got '3', expected a valid integer"),
    ],
)
def test_what_is_stored_otherwise(change: dict[str, Any], words: str) -> None:
    stored = json.loads(ONE.to_json()) | change
    with pytest.raises(ContractError, match=rf"^{WHERE}: not a valid Manifest:(?s:.*){words}"):
        Manifest.parse(json.dumps(stored).encode(), WHERE)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"text"'])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ContractError, match=r"^out/manifest.json: "):
        Manifest.parse(data, WHERE)


def test_one_that_does_not_reconcile_is_not_written() -> None:
    broken = manifest_of([dict.fromkeys(OUTCOMES, 1)])
    object.__setattr__(broken, "rows", 6)
    with pytest.raises(
        ContractError, match=r"Manifest that is to be stored:(?s:.*)add up to 5 rows"
    ):
        broken.to_json()
