"""What readers of a snapshot import, open and get."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import datasets
import pytest

import pipeline
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.snapshots.manifests import folder_of
from tests.processes import ROOT
from tests.publishing import (
    Mill,
)


def test_datasets_loads_the_files_of_a_snapshot(mill: Mill, tmp_path: Path) -> None:
    mill.publish()
    for table in ("labels", "quarantine", "votes"):
        files = pipeline.snapshot_files(mill.output.uri, table=table)
        loaded = datasets.load_dataset(
            "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
        )
        expected = mill.expected(table)
        columns = ("shard", "row", "pair_id")
        found = sorted(zip(*(loaded[column][:] for column in columns), strict=True))
        assert found == [tuple(row[column] for column in columns) for row in expected]


def test_a_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    mill = Mill.at(str(tmp_path))
    mill.shard("a.parquet", 2)
    mill.publish()
    dataset = pipeline.open_snapshot(mill.output.uri, table="quarantine")
    assert (dataset.count_rows(), len(dataset.files)) == (0, 1)
    assert "reason" in dataset.schema.names


def test_what_cannot_be_opened(mill: Mill) -> None:
    with pytest.raises(InputError, match=r"LATEST.json does not exist: nothing is published"):
        pipeline.open_snapshot(mill.output.uri)
    manifest = mill.publish().manifest
    with pytest.raises(ConfigError, match="table 'label': expected one of labels, quarantine"):
        pipeline.open_snapshot(mill.output.uri, table="label")
    with pytest.raises(InputError, match="there is no such snapshot"):
        pipeline.open_snapshot(mill.output.uri, "feed")
    key = f"{folder_of(manifest.snapshot_id)}/manifest.json"
    stored = mill.output.read(key)
    mill.output.put(key, stored.replace(b"snapshot-votes/v2", b"snapshot-votes/v3"))
    expected = "keeps to snapshot-votes/v3, expected snapshot-votes/v2 or snapshot-votes/v1"
    with pytest.raises(InputError, match=expected):
        pipeline.open_snapshot(mill.output.uri, table="votes")
    assert pipeline.open_snapshot(mill.output.uri).count_rows() == len(mill.expected("labels"))


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, pipeline; print(sorted({'pyarrow', 'ray', 'fsspec'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_opening_a_snapshot_needs_no_ray(mill: Mill) -> None:
    mill.publish()
    code = (
        "import sys, pipeline; print(pipeline.open_snapshot(sys.argv[1]).count_rows(), "
        "sorted({'ray', 'vllm', 'torch', 's3fs'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, mill.output.uri]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{len(mill.expected('labels'))} []\n", "")
