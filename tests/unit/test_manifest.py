"""A manifest is whole, of this version, and its counts reconcile; or it is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contract import ContractError
from schemas.labels import Status
from schemas.manifest import (
    OUTCOMES,
    GateDecision,
    InputShard,
    Manifest,
    ShardGroup,
    SnapshotFile,
    SnapshotPolicy,
)

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
        policy=SnapshotPolicy("p", {"prior": 1.0}, None),
        schemas={"labels": "snapshot-labels/v2"},
        input="s3://bucket/in",
        rows=sum(totals.values()),
        counts=totals,
        shards=tuple(
            InputShard(
                *(f"{n}.parquet", 10, "etag", f"key-{n}", sum(counts.values()), counts),
                group=n % 2,
            )
            for n, counts in enumerate(shards)
        ),
        group_count=2,
        groups=(ShardGroup(0, "aa", ("s",)), ShardGroup(1, "bb", ("r", "s"))),
        files=(
            SnapshotFile("labels", "snapshots/files/1.parquet", labels, 9, "ef" * 32, 1),
            SnapshotFile("quarantine", "snapshots/files/2.parquet", quarantined, 8, "ef" * 32),
            SnapshotFile("votes", "snapshots/files/3.parquet", 2, 7, "ef" * 32),
        ),
        gate=gate,
    )


ONE = manifest_of([dict.fromkeys(OUTCOMES, 1), dict.fromkeys(OUTCOMES, 2)])


@given(st.lists(COUNTS, max_size=4), st.none() | st.booleans())
def test_it_comes_back(shards: list[dict[str, int]], passed: bool | None) -> None:
    manifest = manifest_of(shards, None if passed is None else {"passed": passed, "more": [1]})
    assert manifest.blocked is (passed is False)
    again = Manifest.parse(manifest.to_json(), WHERE)
    assert again == replace(manifest, gate=None)  # the decision has objects of its own
    assert b'"gate"' not in manifest.to_json()
    assert (again.total_bytes, again.run_ids) == (24, ("r", "s"))


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
        ({"version": "manifest/v3"}, "version: got 'manifest/v3', expected 'manifest/v2'"),
        ({"version": None}, "version: got None, expected 'manifest/v2'"),
        ({"more": 1}, "more: got 1, expected no such field"),
        ({"rows": "15"}, "rows: got '15', expected a valid integer"),
        ({"rows": True}, "rows: got True, expected a valid integer"),
        ({"policy": {"policy_id": 1}}, "policy.policy_id: got 1, expected a valid string"),
        ({"groups": []}, r"groups: \[0, 1\] have files or shards and are not listed"),
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


@pytest.mark.parametrize("passed", [None, 1, "yes"])
def test_a_decision_says_whether_it_may_go_live(passed: Any) -> None:
    with pytest.raises(ContractError, match=r"gate\.passed: got .*, expected a boolean"):
        GateDecision("ab12", "2026-01-02", "run", {"passed": passed}).to_json()
