"""Stored records: those that earlier versions wrote are read, and are written with the same JSON.

``old_records`` holds one of each kind, byte for byte as dataclasses and ``json.dumps`` wrote them
before pydantic did.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from pipeline.snapshots.manifests import Latest
from pipeline.store.lease import LeaseRecord
from schemas.contract import ContractError
from schemas.manifest import (
    OUTCOMES,
    InputShard,
    Manifest,
    ManifestV1,
    ShardGroup,
    SnapshotFile,
)
from schemas.quality import Agreement, Histogram, Quality, Rate
from schemas.records import Record

OLD = Path(__file__).parent / "old_records"
KINDS: list[tuple[str, type[Record]]] = [
    ("manifest.json", ManifestV1),
    ("quality.json", Quality),
    ("LATEST.json", Latest),
    ("lease.json", LeaseRecord),
]
# What the stored records do not have yet.
LATER_FIELDS: dict[str, dict[str, object]] = {
    "quality.json": {
        **{"bound": None, "audit": None, "criteria": {}, "probes": {}, "panel": None},
        "decided_by": {},
    },
    "lease.json": {
        "epoch": 0,
        "renewals": 0,
        "boot_id": "",
        "pid_namespace": 0,
        "process_started": 0,
        "unfinished": -1,
    },
    "LATEST.json": {"epoch": 0},
}


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_an_old_record_is_read_and_written_with_the_same_json(
    name: str, kind: type[Record]
) -> None:
    data = (OLD / name).read_bytes()
    record = kind.parse(data, name)
    written = json.loads(record.to_json())
    stored, later = json.loads(data), LATER_FIELDS.get(name, {})
    if kind is ManifestV1:  # its shards and files are all of one group
        for each in (*stored["shards"], *stored["files"]):
            each["group"] = 0
    assert written == stored | later
    assert list(written) == [*stored, *later]
    assert kind.parse(record.to_json(), name) == record


def test_the_values_of_an_old_manifest() -> None:
    manifest = Manifest.parse((OLD / "manifest.json").read_bytes(), "m")
    counts = dict(zip(OUTCOMES, (3, 1, 1, 2, 0), strict=True))
    nothing = dict.fromkeys(OUTCOMES, 0)
    assert manifest.shards == (
        InputShard("0.parquet", 10, "etag", "key-0", 7, counts),
        InputShard("é.parquet", 4, "etag-2", "key-2", 0, nothing, "corrupt footer: no magic"),
    )
    assert manifest.files[1] == SnapshotFile(
        "quarantine", "snapshots/ab12/quarantine/00000.parquet", 2, 8, "ef" * 32
    )
    assert (manifest.policy, manifest.run_ids) == (None, ("r", "s"))
    assert (manifest.group_count, manifest.groups) == (1, (ShardGroup(0, "", ("r", "s")),))
    assert (manifest.parent, manifest.rows, manifest.blocked) == ("cd34", 7, True)
    assert manifest.judge["judge"] == {
        "format": "pairwise_scores",
        "votes": [2, 6],
        "temperature": 0.5,
    }


def test_the_values_of_an_old_quality() -> None:
    quality = Quality.parse((OLD / "quality.json").read_bytes(), "q")
    assert quality.rates["preference_a"] == Rate(1 / 3, 0.1, 2 / 3, 9)
    assert quality.rates["abstain"] == Rate(None, None, None, 0)
    assert quality.histograms["margin"] == Histogram((0.0, 1.0, 2.0), (3, 5))
    assert quality.canary == Agreement(
        "/gold", 8, ((1, 2, 3, 0, 0), (0,) * 5, (0, 0, 0, 1, 1)), (0.5,), (1.0,), (6,)
    )
    assert (quality.gold, quality.drift.against, quality.notes) == (None, "before", ("no gold",))


def test_the_values_of_an_old_latest_and_of_one_before_withdrawals() -> None:
    data = (OLD / "LATEST.json").read_bytes()
    latest = Latest.parse(data, "l")
    at = "2026-01-02T03:04:05.000006+00:00"
    known = ("ab12", "snapshots/ab12/manifest.json", at, "run-3", "cd34")
    assert latest == Latest(*known, rollback=True, withdrawn=("ef56",))
    older = {name: value for name, value in json.loads(data).items() if name != "withdrawn"}
    assert Latest.parse(json.dumps(older).encode(), "l") == Latest(*known, rollback=True)


def test_the_values_of_an_old_lease() -> None:
    begun, expires = "2026-01-02T03:04:05.000+00:00", "2026-01-02T03:05:05.000+00:00"
    lease = LeaseRecord.parse((OLD / "lease.json").read_bytes(), "l")
    assert lease == LeaseRecord("t", "run", "host", 7, begun, expires, 60.0)


@dataclass(frozen=True)
class Sample(Record):
    """One field of each type that needs a rule."""

    number: float = 0.0
    whole: int = 0
    flag: bool = False
    texts: tuple[str, ...] = ()
    anything: Any = None


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        ('{"number": true}', "number: got True, expected a valid number"),
        ('{"number": "1"}', "number: got '1', expected a valid number"),
        ('{"number": Infinity}', "number: got inf, expected a finite number"),
        ('{"whole": 1.0}', "whole: got 1.0, expected a valid integer"),
        ('{"flag": 1}', "flag: got 1, expected a valid boolean"),
        ('{"texts": "ab"}', "texts: got 'ab', expected a valid array"),
        ('{"other": null}', "other: got None, expected no such field"),
        ('{"version": "s/v1"}', "version: got 's/v1', expected None"),
        ("[]", "the whole: got [], expected an object"),
    ],
)
def test_one_fault_is_one_line(stored: str, fault: str) -> None:
    with pytest.raises(ContractError) as refusal:
        Sample.parse(stored.encode(), "s3://bucket/sample.json")
    assert str(refusal.value) == (
        f"s3://bucket/sample.json: not a valid Sample: {fault}; use the version of this software "
        "that wrote it, or restore the object"
    )


def test_many_faults_are_a_block_and_a_count() -> None:
    stored = json.dumps({"texts": list(range(23))})
    with pytest.raises(ContractError) as refusal:
        Sample.parse(stored.encode(), "sample.json")
    lines = str(refusal.value).splitlines()
    assert lines[:2] == [
        "sample.json: not a valid Sample:",
        "  texts.0: got 0, expected a valid string",
    ]
    assert lines[20:] == [
        "  texts.19: got 19, expected a valid string",
        "  and 3 more",
        "use the version of this software that wrote it, or restore the object",
    ]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"anything": float("nan")}, "anything"),  # JSON has null for it
        ({"anything": (1,)}, "anything"),  # comes back as a list
        ({"texts": ["a"]}, "texts"),  # comes back as a tuple
        ({"number": float("inf")}, "number"),
    ],
)
def test_what_would_not_come_back_equal_is_not_written(value: dict[str, Any], name: str) -> None:
    with pytest.raises(ContractError, match=rf"^a Sample that is to be stored: {name}: "):
        Sample(**value).to_json()


def test_what_comes_back_equal_is_written() -> None:
    sample = Sample(number=1, whole=2, flag=True, texts=("é",), anything={"a": [1, None]})
    assert sample.to_json().decode() == (
        '{\n "number": 1.0,\n "whole": 2,\n "flag": true,\n "texts": [\n  "é"\n ],\n'
        ' "anything": {\n  "a": [\n   1,\n   null\n  ]\n }\n}'
    )
    assert [each.name for each in fields(Sample)] == list(json.loads(sample.to_json()))
