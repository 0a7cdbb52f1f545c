"""Nightly runs: what they publish, what they skip without news, and what blocks publication."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from jobs.publish import main as publish_main
from pipeline.snapshots.manifests import LATEST_KEY
from pipeline.store.object_store import Store
from tests.labeling import Row, assert_exact, contents, forbid_ray, run_job, write_config
from tests.nights import detail_of, nights, published, rows_of, run_nightly, steps_of, write_corpus
from tests.publishing import latest_of, live_rows
from tests.shards import pair, write_shard

pytestmark = pytest.mark.usefixtures("without_charts")

DONE = ["plan", "label", "reconcile", "compact", "gate", "publish"]
# Appends a line of its own to a file, or fails while another file is not there.
_RECORD = (
    "import os, sys; path, name = sys.argv[1:]; "
    "seen = [os.environ['PAIRMILL_' + x] for x in ('OUTPUT', 'SNAPSHOT', 'RUN_ID')]; "
    "open(path, 'a').write(' '.join([name, *seen]) + '\\n')"
)


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, list[Row]]:
    """Two shards."""
    return write_corpus(tmp_path / "in")


@pytest.mark.usefixtures("shared_ray")
def test_a_nightly_run_publishes_and_one_without_news_starts_nothing(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    exports = {"nightly": {"exports": [{"format": "jsonl"}]}}
    config = write_config(tmp_path / "night.yaml", model, exports)
    outcome = run_nightly(config, source, output)
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert_exact(output, corpus)
    assert published(output) == rows_of(corpus)
    (first,) = nights(output)
    assert steps_of(first) == dict.fromkeys([*DONE, "exports", "report"], "done")
    (export,) = detail_of(first, "exports")["exports"]
    assert export["new"]
    record = json.loads((output / export["folder"] / "export.json").read_text())
    assert record["snapshot_id"] == first["snapshot_id"]
    assert (first["state"], first["exit_code"]) == ("published", 0)
    assert first["snapshot_id"] == latest_of(Store(str(output)))["snapshot_id"]
    assert latest_of(Store(str(output)))["published_by"] == first["run_id"]
    assert (output / "runs" / first["run_id"] / "run.json").exists()

    forbid_ray(monkeypatch)
    kept = ("snapshots", "parts", "exports")
    before = [contents(output, folder) for folder in kept]
    outcome = run_nightly(config, source, output)
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert [contents(output, folder) for folder in kept] == before
    second = nights(output)[-1]
    assert second["state"] == "unchanged"
    assert steps_of(second) == dict.fromkeys(DONE, "done") | {
        "gate": "skipped",
        "publish": "skipped",
        "exports": "done",
        "report": "done",
    }
    assert not detail_of(second, "exports")["exports"][0]["new"]
    assert second["snapshot_id"] == first["snapshot_id"]
    assert second["judge_id"] == first["judge_id"]


@pytest.mark.usefixtures("without_ray")
def test_of_a_shard_that_was_moved_nothing_is_judged(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    config = write_config(tmp_path / "night.yaml", model)
    assert run_nightly(config, source, output).exit_code == 0
    (source / "older").mkdir()
    (source / "a.parquet").rename(source / "older/2026.parquet")
    corpus["older/2026.parquet"] = corpus.pop("a.parquet")
    outcome = run_nightly(config, source, output)
    assert (outcome.exit_code, outcome.error) == (0, "")
    plan, done = outcome.event("plan"), outcome.event("done")
    assert (plan["shards_moved"], plan["pairs_of_moved_shards"]) == (1, 40)
    assert plan["shards_deleted"] == 0
    assert (done["pairs"], done["reused"], done["judgments"]) == (40, 40, 0)
    assert published(output) == rows_of(corpus)
    first, second = nights(output)
    assert (first["state"], second["state"]) == ("published", "published")
    assert {row["run_id"] for row in live_rows(Store(str(output)))} == {first["run_id"]}


@pytest.mark.usefixtures("without_ray")
def test_too_many_quarantined_are_labelled_and_not_published(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    for number in range(4):
        corpus["a.parquet"][number] = pair(number, prompt="<no>")
    write_shard(source / "a.parquet", corpus["a.parquet"])
    script = {"engine": {"script": {"faults": {"<no>": "refused"}}}}
    config = write_config(tmp_path / "night.yaml", model, script)
    said = "4 of 60 rows are quarantined (refused 4), quarantine.max_fraction allows 0.05"
    assert run_nightly(config, source, output).exit_code == 4
    assert_exact(output, corpus, {("a.parquet", number): "refused" for number in range(4)})
    forbid_ray(monkeypatch)
    outcome = run_nightly(config, source, output)  # it stays so until somebody decides
    assert outcome.exit_code == 4
    assert said in outcome.error
    assert Store(str(output)).size(LATEST_KEY) is None
    for night in nights(output):
        assert (night["state"], night["exit_code"]) == ("failed", 4)
        assert steps_of(night) == {"plan": "done", "label": "failed", "report": "done"}
        assert said in detail_of(night, "label")["error"]
    outcome = run_nightly(config, source, output, "--set", "quarantine.max_fraction=0.1")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert published(output) == rows_of(corpus)


@pytest.mark.usefixtures("without_ray")
def test_a_blocked_nightly_run_leaves_readers_and_hooks_alone(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output, reported = tmp_path / "in", tmp_path / "out", tmp_path / "reported"
    hook = [sys.executable, "-c", _RECORD, str(reported), "one"]
    config = write_config(tmp_path / "night.yaml", model, {"nightly": {"hooks": [hook]}})
    assert run_nightly(config, source, output).exit_code == 0
    (first,) = nights(output)
    reported.unlink()

    corpus["c.parquet"] = [pair(n) for n in range(100, 107)]
    write_shard(source / "c.parquet", corpus["c.parquet"])
    strict = ("--set", "gate.at_most.tie=0.05")
    outcome = run_nightly(config, source, output, *strict)
    assert outcome.exit_code == 3
    blocked = nights(output)[-1]
    assert blocked["state"] == "blocked"
    assert steps_of(blocked) == dict.fromkeys(DONE[:4], "done") | {
        "gate": "blocked",
        "publish": "skipped",
        "hooks": "skipped",
        "report": "done",
    }
    assert f"snapshot {blocked['snapshot_id']} is blocked" in outcome.error
    assert "tie" in outcome.error
    (check,) = detail_of(blocked, "gate")["checks"]
    assert (check["metric"], check["threshold"], check["n"]) == ("tie", 0.05, 67)
    assert latest_of(Store(str(output)))["snapshot_id"] == first["snapshot_id"]
    assert not reported.exists()

    forbid_ray(monkeypatch)
    assert run_nightly(config, source, output, *strict).exit_code == 3
    assert nights(output)[-1]["snapshot_id"] == blocked["snapshot_id"]
    outcome = run_nightly(config, source, output, "--set", "gate.at_most.tie=0.9")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert published(output) == rows_of(corpus)
    last = nights(output)[-1]
    assert reported.read_text().split() == ["one", str(output), last["snapshot_id"], last["run_id"]]


@pytest.mark.usefixtures("without_ray")
def test_what_was_rolled_back_from_comes_back_only_with_other_labels(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    config = write_config(tmp_path / "night.yaml", model, {"nightly": {"keep": 2}})
    (source / "b.parquet").rename(tmp_path / "later.parquet")
    assert run_nightly(config, source, output).exit_code == 0
    (tmp_path / "later.parquet").rename(source / "b.parquet")
    assert run_nightly(config, source, output).exit_code == 0
    good, bad = (night["snapshot_id"] for night in nights(output))
    rollback = ["--output", str(output), "--rollback", good]
    assert run_job(publish_main, rollback).exit_code == 0

    outcome = run_nightly(config, source, output)
    assert (outcome.exit_code, outcome.error) == (0, "")
    night = nights(output)[-1]
    assert (night["state"], night["snapshot_id"]) == ("withdrawn", bad)
    assert "rolled back from this snapshot" in detail_of(night, "publish")["why"]
    assert latest_of(Store(str(output)))["snapshot_id"] == good

    corpus["b.parquet"][0] = pair(99)
    write_shard(source / "b.parquet", corpus["b.parquet"])
    assert run_nightly(config, source, output).exit_code == 0
    assert published(output) == rows_of(corpus)
    kept = detail_of(nights(output)[-1], "retention")
    assert (kept["kept"], kept["removed"]) == ([good, bad, nights(output)[-1]["snapshot_id"]], [])
