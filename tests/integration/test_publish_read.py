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
    LabeledInput,
)


def test_datasets_loads_the_files_of_a_snapshot(labeled: LabeledInput, tmp_path: Path) -> None:
    labeled.publish()
    for table in ("labels", "quarantine", "votes"):
        files = pipeline.snapshot_files(labeled.output.uri, table=table)
        loaded = datasets.load_dataset(
            "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
        )
        expected = labeled.expected(table)
        columns = ("shard", "row", "pair_id")
        found = sorted(zip(*(loaded[column][:] for column in columns), strict=True))
        assert found == [tuple(row[column] for column in columns) for row in expected]


def test_a_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    labeled = LabeledInput.at(str(tmp_path))
    labeled.shard("a.parquet", 2)
    labeled.publish()
    dataset = pipeline.open_snapshot(labeled.output.uri, table="quarantine")
    assert (dataset.count_rows(), len(dataset.files)) == (0, 1)
    assert "reason" in dataset.schema.names


def test_what_cannot_be_opened(labeled: LabeledInput) -> None:
    with pytest.raises(InputError, match=r"LATEST.json does not exist.*: nothing is published"):
        pipeline.open_snapshot(labeled.output.uri)
    manifest = labeled.publish().manifest
    with pytest.raises(ConfigError, match="table 'label': expected one of labels, quarantine"):
        pipeline.open_snapshot(labeled.output.uri, table="label")
    with pytest.raises(InputError, match="there is no such snapshot"):
        pipeline.open_snapshot(labeled.output.uri, "feed")
    key = f"{folder_of(manifest.snapshot_id)}/manifest.json"
    stored = labeled.output.read(key)
    labeled.output.put(key, stored.replace(b"snapshot-votes/v2", b"snapshot-votes/v3"))
    expected = "keeps to snapshot-votes/v3, expected snapshot-votes/v2 or snapshot-votes/v1"
    with pytest.raises(InputError, match=expected):
        pipeline.open_snapshot(labeled.output.uri, table="votes")
    assert pipeline.open_snapshot(labeled.output.uri).count_rows() == len(
        labeled.expected("labels")
    )


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, pipeline; print(sorted({'pyarrow', 'ray', 'fsspec'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_opening_a_snapshot_needs_no_ray(labeled: LabeledInput) -> None:
    labeled.publish()
    code = (
        "import sys, pipeline; print(pipeline.open_snapshot(sys.argv[1]).count_rows(), "
        "sorted({'ray', 'vllm', 'torch', 's3fs'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, labeled.output.uri]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{len(labeled.expected('labels'))} []\n", "")
