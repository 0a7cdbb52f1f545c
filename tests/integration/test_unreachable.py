"""A policy that would label nothing is refused before anything is judged or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs import derive, label, nightly, publish
from pipeline.store.object_store import Store
from tests.labeling import contents, run_job
from tests.publishing import LabeledInput
from tests.shards import pair, write_shard

CONFIG = str(Path(__file__).parents[2] / "jobs" / "configs" / "cpu.yaml")
STRICT = ("--policy.threshold", "0.95")
SAID = (
    "policy.threshold: got 0.95, but the votes of this judge reach 0.9375 at most, so that no pair "
    "would get a preference. What unanimous votes reach, by their number: 2: 0.875, 4: 0.9687, "
    "6: 0.9921, 8: 0.998; "
)


@pytest.mark.parametrize("job", [label, nightly], ids=["label", "nightly"])
def test_before_anything_is_judged(tmp_path: Path, job: Any) -> None:
    write_shard(tmp_path / "pairs" / "a.parquet", [pair(number) for number in range(3)])
    where = ("--input", str(tmp_path / "pairs"), "--output", str(tmp_path / "out"))
    done = run_job(job.main, [*where, "--config", CONFIG, *STRICT])
    assert done.exit_code == 2
    assert SAID in done.error
    written = [entry.key for entry in Store(str(tmp_path / "out")).list("")]
    assert not [key for key in written if not key.startswith(("runs/", "leases/"))]


@pytest.mark.parametrize("job", [publish, derive], ids=["publish", "derive"])
def test_before_anything_is_derived(tmp_path: Path, job: Any) -> None:
    labeled = LabeledInput.at(str(tmp_path))
    labeled.shard("a.parquet", 7)
    before = contents(labeled.output.uri)
    of_job = (
        ["--input", labeled.source.uri] if job is publish else ["--judge", labeled.made.judge_id]
    )
    done = run_job(job.main, [*of_job, "--output", labeled.output.uri, *STRICT])
    assert done.exit_code == 2
    assert SAID in done.error
    after = contents(labeled.output.uri)
    assert {key: after[key] for key in after if not key.startswith("leases/")} == before
