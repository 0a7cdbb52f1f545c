"""The examples of schemas/README.md keep to their contracts, and every contract is listed."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import schemas
from schemas.contract import VERSION_KEY, table_of
from schemas.error_bounds import ErrorBound, FrameShards
from schemas.gold import Answer, GoldSet
from schemas.labels import LABELS
from schemas.manifest import GateDecision, Manifest
from schemas.pairs import PAIRS, PAIRS_V2
from schemas.quality import Quality
from schemas.records import Record
from schemas.snapshots import SNAPSHOT_BROWSE, SNAPSHOT_LABELS, SNAPSHOT_VOTES

README = (Path(str(schemas.__file__)).parent / "README.md").read_text(encoding="utf-8")


def example(contract: str) -> dict[str, Any]:
    """The JSON block under a contract's heading."""
    _, _, section = README.partition(f"\n## `{contract}`\n")
    found: dict[str, Any] = json.loads(section.split("```json\n")[1].split("```")[0])
    return found


@pytest.mark.parametrize("schema", [PAIRS, PAIRS_V2, LABELS, SNAPSHOT_VOTES, SNAPSHOT_BROWSE])
def test_an_example_row_is_a_row_of_its_contract(schema: pa.Schema) -> None:
    row = example(schema.metadata[VERSION_KEY].decode())
    typed = dict(row)
    if "judged_at" in row:
        typed["judged_at"] = datetime.datetime.fromisoformat(row["judged_at"])
    assert table_of([typed], schema).to_pylist() == [typed]


@pytest.mark.parametrize("kind", [Manifest, GateDecision, GoldSet, Answer])
def test_an_example_record_is_one(kind: type[Record]) -> None:
    row = example(kind.version)  # type: ignore[attr-defined]
    assert json.loads(kind.parse(json.dumps(row).encode(), "README").to_json()) == row


def test_every_contract_is_listed() -> None:
    arrow = (PAIRS, PAIRS_V2, LABELS, SNAPSHOT_LABELS, SNAPSHOT_VOTES, SNAPSHOT_BROWSE)
    expected = [schema.metadata[VERSION_KEY].decode() for schema in arrow]
    listed = re.findall(r"^\| `(\S+/v\d+)` \|", README, re.MULTILINE)
    assert listed == [
        *expected,
        Manifest.version,
        GateDecision.version,
        Quality.version,
        GoldSet.version,
        FrameShards.version,
        ErrorBound.version,
        Answer.version,
    ]
