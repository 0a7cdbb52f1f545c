"""Nights: what is published, what a quiet night spares, and how each kind of night ends."""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from jobs.publish import main as publish_main
from pipeline.assembly.job_config import MillConfig
from pipeline.assembly.nightly.night import run_night
from pipeline.assembly.plan import Plan
from pipeline.assembly.snapshots.manifests import LATEST_KEY
from pipeline.assembly.stop import Stop
from pipeline.core.config_file import load_config
from pipeline.core.errors import InputError, StoppedError, StorageError
from pipeline.core.storage import Store
from tests.labeling import (
    assert_exact,
    contents,
    forbid_ray,
    label_arguments,
    run_job,
    write_config,
)
from tests.nights import detail_of, nights, run_nightly, steps_of
from tests.processes import started, wait_until
from tests.publishing import QUIET, latest_of, live_rows
from tests.shards import pair, write_shard

Row = dict[str, Any]
DONE = ["plan", "label", "reconcile", "compact", "gate", "publish"]
# Appends a line of its own to a file, or fails while another file is not there.
_TELL = (
    "import os, sys; path, name = sys.argv[1:]; "
    "seen = [os.environ['PAIRMILL_' + x] for x in ('OUTPUT', 'SNAPSHOT', 'RUN_ID')]; "
    "open(path, 'a').write(' '.join([name, *seen]) + '\\n')"
)
_NEED = "import os, sys; sys.exit(0 if os.path.exists(sys.argv[1]) else 7)"


def published(output: Path) -> list[tuple[str, int]]:
    """Shard and row of every row of the live snapshot, in order."""
    store = Store(str(output))
    rows = [*live_rows(store), *live_rows(store, "quarantine")]
    return sorted((row["shard"], row["row"]) for row in rows)


def rows_of(shards: dict[str, list[Row]]) -> list[tuple[str, int]]:
    return sorted((name, n) for name, rows in shards.items() for n in range(len(rows)))


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, list[Row]]:
    """Two shards."""
    shards = {
        "a.parquet": [pair(n) for n in range(40)],
        "b.parquet": [pair(n) for n in range(40, 60)],
    }
    for name, rows in shards.items():
        write_shard(tmp_path / "in" / name, rows)
    return shards


@pytest.mark.usefixtures("shared_ray")
def test_a_night_publishes_and_a_quiet_one_starts_nothing(
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
    assert steps_of(first) == dict.fromkeys([*DONE, "exports"], "done")
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
    }
    assert not detail_of(second, "exports")["exports"][0]["new"]
    assert second["snapshot_id"] == first["snapshot_id"]
    assert second["judge_id"] == first["judge_id"]


@pytest.mark.usefixtures("shared_ray")
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
        assert steps_of(night) == {"plan": "done", "label": "failed"}
        assert said in detail_of(night, "label")["error"]
    outcome = run_nightly(config, source, output, "--set", "quarantine.max_fraction=0.1")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert published(output) == rows_of(corpus)


@pytest.mark.usefixtures("shared_ray")
def test_a_blocked_night_leaves_readers_and_hooks_alone(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output, told = tmp_path / "in", tmp_path / "out", tmp_path / "told"
    hook = [sys.executable, "-c", _TELL, str(told), "one"]
    config = write_config(tmp_path / "night.yaml", model, {"nightly": {"hooks": [hook]}})
    assert run_nightly(config, source, output).exit_code == 0
    (first,) = nights(output)
    told.unlink()

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
    }
    assert f"snapshot {blocked['snapshot_id']} is blocked" in outcome.error
    assert "tie" in outcome.error
    (check,) = detail_of(blocked, "gate")["checks"]
    assert (check["metric"], check["threshold"], check["n"]) == ("tie", 0.05, 67)
    assert latest_of(Store(str(output)))["snapshot_id"] == first["snapshot_id"]
    assert not told.exists()

    forbid_ray(monkeypatch)
    assert run_nightly(config, source, output, *strict).exit_code == 3
    assert nights(output)[-1]["snapshot_id"] == blocked["snapshot_id"]
    outcome = run_nightly(config, source, output, "--set", "gate.at_most.tie=0.9")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert published(output) == rows_of(corpus)
    last = nights(output)[-1]
    assert told.read_text().split() == ["one", str(output), last["snapshot_id"], last["run_id"]]


@pytest.mark.usefixtures("shared_ray", "corpus")
def test_a_failed_hook_is_named_and_run_again_with_those_behind_it(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output, told = tmp_path / "in", tmp_path / "out", tmp_path / "told"
    needed = tmp_path / "needed"
    one, three = ([sys.executable, "-c", _TELL, str(told), name] for name in ("one", "three"))
    hooks = [one, [sys.executable, "-c", _NEED, str(needed)], three]
    config = write_config(tmp_path / "night.yaml", model, {"nightly": {"hooks": hooks}})
    outcome = run_nightly(config, source, output)
    assert outcome.exit_code == 1
    assert f"hook {json.dumps(hooks[1])} ended with exit code 7" in outcome.error
    live = latest_of(Store(str(output)))["snapshot_id"]
    (first,) = nights(output)
    assert (first["state"], first["snapshot_id"]) == ("failed", live)
    assert steps_of(first) == dict.fromkeys(DONE, "done") | {"hooks": "failed"}
    assert [line.split()[0] for line in told.read_text().splitlines()] == ["one"]

    needed.touch()
    forbid_ray(monkeypatch)
    assert run_nightly(config, source, output).exit_code == 0
    assert detail_of(nights(output)[-1], "hooks") == {"hooks": hooks[1:]}
    seen = [line.split() for line in told.read_text().splitlines()]
    assert [(name, snapshot) for name, _, snapshot, _ in seen] == [("one", live), ("three", live)]
    assert run_nightly(config, source, output).exit_code == 0
    assert steps_of(nights(output)[-1])["hooks"] == "skipped"
    assert len(told.read_text().splitlines()) == 2


@pytest.mark.usefixtures("shared_ray")
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


def test_of_two_nights_the_second_says_who_is_at_work(
    tmp_path: Path, model: Path, shared_ray: str, corpus: dict[str, list[Row]]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    slow = {"engine": {"script": {"latency_s": 0.3}}, "nightly": {"lease_s": 6}}
    config = write_config(tmp_path / "night.yaml", model, slow)
    store, key = Store(str(output)), "leases/nightly.json"
    environment = {"RAY_ADDRESS": shared_ray}
    with started("jobs.nightly", label_arguments(config, source, output), environment) as first:
        wait_until(lambda: store.size(key) is not None)
        record = json.loads(store.read(key))
        outcome = run_nightly(config, source, output)
        assert first.process.wait() == 0
    assert outcome.exit_code == 5
    assert f"the lease is held by run {record['run_id']} on host" in outcome.error
    assert re.search(r", until 20\d\d-[^ ]+ unless it is renewed; wait for it", outcome.error)
    (night,) = nights(output)  # who was not let in leaves nothing
    assert (night["run_id"], night["state"]) == (record["run_id"], "published")
    assert published(output) == rows_of(corpus)


@pytest.mark.usefixtures("shared_ray", "corpus")
def test_a_night_that_loses_its_lease_publishes_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    store, key = Store(str(output)), "leases/nightly.json"

    def stolen(planned: Plan, *rest: Any) -> None:  # at the end of labeling
        found = store.read_version(key)
        assert found is not None
        other = json.loads(found.data) | {"token": "other", "run_id": "the-other"}
        assert store.swap(key, json.dumps(other).encode(), found) is not None
        (thread,) = [t for t in threading.enumerate() if t.name == f"lease {key}"]
        thread.join()  # it finds out as it renews, and ends

    monkeypatch.setattr("pipeline.assembly.run.check_coverage", stolen)
    config = write_config(tmp_path / "night.yaml", model, {"nightly": {"lease_s": 3}})
    outcome = run_nightly(config, tmp_path / "in", output)
    assert outcome.exit_code == 5
    assert "it is now held by run the-other on host" in outcome.error
    (night,) = nights(output)
    assert (night["state"], night["exit_code"]) == ("stopped", 5)
    assert steps_of(night) == {"plan": "done", "label": "done"}
    assert store.size(LATEST_KEY) is None


def test_a_night_that_fails_is_reported_and_its_own_error_is_what_is_told(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]]
) -> None:
    assert corpus
    seen: list[tuple[str, str, str | None]] = []

    def report(output: Store, run_id: str, snapshot_id: str | None) -> None:
        (night,) = nights(output.uri)
        seen.append((night["state"], night["steps"][-1]["name"], snapshot_id))
        assert (run_id, night["exit_code"]) == (night["run_id"], 2)
        raise StorageError("the report cannot be written")

    changes = {"canary": {"input": str(tmp_path / "nowhere")}}
    whole = load_config(MillConfig, str(write_config(tmp_path / "night.yaml", model, changes)), [])
    where = (str(tmp_path / "in"), str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"nowhere: no \*\.parquet there"):
        run_night(whole, *where, QUIET, report=report)
    assert seen == [("failed", "plan", None)]
    (night,) = nights(tmp_path / "out")
    assert steps_of(night) == {"plan": "failed", "report": "failed"}
    assert detail_of(night, "report") == {"error": "the report cannot be written"}


def test_asked_to_stop_a_night_ends_before_its_next_step(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]]
) -> None:
    assert corpus
    stop = Stop()
    stop.ask()
    whole = load_config(MillConfig, str(write_config(tmp_path / "night.yaml", model)), [])
    source, output = tmp_path / "in", tmp_path / "out"
    with pytest.raises(StoppedError, match="plan was the next step; the same command goes on"):
        run_night(whole, str(source), str(output), QUIET, stop=stop)
    (night,) = nights(output)
    assert (night["state"], night["exit_code"], night["steps"]) == ("stopped", 143, [])
