"""Ingest reads no further than it must, and leaves nothing behind when it is asked to stop."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.ingest.ingest import IngestConfig, ingest
from pipeline.ingest.source_files import OpenSource
from pipeline.runtime.errors import StoppedError
from pipeline.runtime.stop import Stop
from schemas.pairs import PAIRS_V2
from tests.shards import pair

ROWS = pa.Table.from_pylist([pair(number) for number in range(4)], PAIRS_V2)


def config(output: Path, **settings: object) -> IngestConfig:
    source = {"path": "rows.parquet"}
    return IngestConfig.model_validate({"source": source, "output": str(output), **settings})


def test_nothing_behind_the_limit_is_read(tmp_path: Path) -> None:
    def read() -> Iterator[pa.Table]:
        yield ROWS.slice(0, 0)
        yield ROWS.slice(0, 2)
        yield ROWS.slice(2)
        raise AssertionError("row 4 was asked for")

    source = OpenSource("rows", ROWS.schema, read)
    assert ingest(config(tmp_path, limit=3), source=source).rows == 3


def test_a_table_without_rows_ends_no_source(tmp_path: Path) -> None:
    turned = ROWS.select(
        ROWS.column_names[::-1]
    )  # as files are whose columns are ordered otherwise
    source = OpenSource("rows", ROWS.schema, lambda: iter([turned.slice(0, 0), ROWS]))
    assert ingest(config(tmp_path), source=source).rows == 4


@pytest.mark.parametrize("group_by", [None, "prompt"])
def test_one_that_is_asked_to_stop_leaves_no_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_by: str | None
) -> None:
    scratch, output, stop = tmp_path / "scratch", tmp_path / "out", Stop()
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def read() -> Iterator[pa.Table]:
        yield ROWS
        stop.ask()
        yield ROWS.select(ROWS.column_names[::-1])

    source = OpenSource("rows", ROWS.schema, read)
    with pytest.raises(StoppedError, match=r"stopped by SIGTERM: 0 shards .*--overwrite"):
        ingest(config(output, group_by=group_by), source=source, stop=stop)
    assert not list(scratch.iterdir())
