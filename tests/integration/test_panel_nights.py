"""Nightly runs with ``aggregation.panel``: one label of two judges, night after night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.snapshots.snapshot_reader import open_manifest
from pipeline.store.object_store import Store
from tests.labeling import run_label, write_config
from tests.nights import nights, published, rows_of, run_nightly, write_corpus
from tests.publishing import live_rows
from tests.shards import pair, write_shard

pytestmark = pytest.mark.usefixtures("without_charts")


@pytest.mark.usefixtures("without_ray")
def test_a_panel_is_published_night_after_night(tmp_path: Path, model: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    corpus = write_corpus(source)

    def config(name: str, temperature: float, **more: Any) -> Path:
        judge = {"sampling": {"temperature": temperature}}
        return write_config(tmp_path / f"{name}.yaml", model, {"judge": judge, **more})

    other = config("other", 0.9)
    first = run_label(other, source, output)
    assert first.exit_code == 0
    judges = [str(first.event("done")["judge_id"])]
    second = run_label(config("own", 0.4), source, output)
    judges.append(str(second.event("done")["judge_id"]))
    assert len(set(judges)) == 2
    night = config("night", 0.4, aggregation={"panel": judges, "by": "one-per-family"})

    done = run_nightly(night, source, output)
    assert (done.exit_code, done.error) == (0, "")
    manifest = open_manifest(Store(str(output)))
    assert [card["judge_id"] for card in manifest.judges] == judges
    assert manifest.policy is not None
    assert manifest.policy.rule["kind"] == "panel"
    assert published(output) == rows_of(corpus)
    votes = live_rows(Store(str(output)), "votes")
    assert {row["judge_id"] for row in votes} == set(judges)

    again = run_nightly(night, source, output)
    assert (again.exit_code, again.error) == (0, "")
    assert nights(output)[-1]["state"] == "unchanged"

    # A night labels with its own judge alone: the others' rows are missing until they have run.
    corpus["c.parquet"] = [pair(n) for n in range(60, 70)]
    write_shard(source / "c.parquet", corpus["c.parquet"])
    lacking = run_nightly(night, source, output)
    assert lacking.exit_code != 0
    assert judges[0][:16] in lacking.error
    assert open_manifest(Store(str(output))).snapshot_id == manifest.snapshot_id
    assert run_label(other, source, output).exit_code == 0
    whole = run_nightly(night, source, output)
    assert (whole.exit_code, whole.error) == (0, "")
    assert published(output) == rows_of(corpus)
