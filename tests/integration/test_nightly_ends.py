"""How nightly runs end early, and what happens to the store while one is running."""

from __future__ import annotations

import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.labeling.planning.plan import Plan
from pipeline.nightly.night import run_night
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import InputError, ShardChangedError, StoppedError, StorageError
from pipeline.runtime.stop import Stop
from pipeline.snapshots.manifests import LATEST_KEY
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease
from tests.labeling import Row, label_arguments, write_config
from tests.nights import detail_of, nights, published, rows_of, run_nightly, steps_of, write_corpus
from tests.processes import started, wait_until
from tests.publishing import QUIET, LabeledInput
from tests.shards import pair, write_shard
from tests.without_ray import label_here

pytestmark = pytest.mark.usefixtures("without_charts")


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, list[Row]]:
    """Two shards."""
    return write_corpus(tmp_path / "in")


def test_the_second_of_two_nightly_runs_names_the_holder_of_the_lease(
    tmp_path: Path, model: Path, shared_ray: str, corpus: dict[str, list[Row]]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    slow = {"engine": {"script": {"latency_s": 0.3}}, "nightly": {"lease_s": 6}}
    config = write_config(tmp_path / "night.yaml", model, slow)
    store, key = Store(str(output)), "leases/writer.json"
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


def test_a_nightly_run_that_is_interrupted_says_so_and_the_next_goes_on(
    tmp_path: Path,
    model: Path,
    shared_ray: str,
    corpus: dict[str, list[Row]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    slow = {"engine": {"script": {"latency_s": 0.5}, "max_num_seqs": 4}, "input": {"unit_rows": 8}}
    config = write_config(tmp_path / "night.yaml", model, slow)
    environment = {"RAY_ADDRESS": shared_ray}
    with started("jobs.nightly", label_arguments(config, source, output), environment) as night:
        wait_until(lambda: len(list(Store(str(output)).list("parts"))) >= 2)
        night.process.send_signal(signal.SIGINT)
        stdout, stderr = night.process.communicate()
    assert night.process.returncode == 130, stderr
    said = [line for line in stderr.splitlines() if ".cc:" not in line]  # Ray's own code
    assert said == ["interrupted; the same command goes on where this run stopped"]
    last = json.loads(stdout.splitlines()[-1])
    assert (last["event"], last["state"], last["exit_code"]) == ("night", "stopped", 130)
    (record,) = nights(output)
    assert (record["state"], record["exit_code"]) == ("stopped", 130)
    at_once = ("--set", "engine.script.latency_s=0")
    label_here(monkeypatch)
    outcome = run_nightly(config, source, output, *at_once)
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert [found["state"] for found in nights(output)] == ["stopped", "published"]
    assert published(output) == rows_of(corpus)


@pytest.mark.usefixtures("without_ray", "corpus")
def test_a_nightly_run_that_loses_its_lease_publishes_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    store, key = Store(str(output)), "leases/writer.json"

    def stolen(planned: Plan, *rest: Any) -> None:  # at the end of labeling
        found = store.read_version(key)
        assert found is not None
        other = json.loads(found.data) | {"token": "other", "run_id": "the-other"}
        assert store.swap(key, json.dumps(other).encode(), found) is not None
        (thread,) = [t for t in threading.enumerate() if t.name == f"lease {key}"]
        thread.join()  # it finds out as it renews, and ends

    monkeypatch.setattr("pipeline.labeling.label_run.check_coverage", stolen)
    config = write_config(tmp_path / "night.yaml", model, {"nightly": {"lease_s": 3}})
    outcome = run_nightly(config, tmp_path / "in", output)
    assert outcome.exit_code == 5
    assert "it is now held by run the-other on host" in outcome.error
    (night,) = nights(output)
    assert (night["state"], night["exit_code"]) == ("stopped", 5)
    assert steps_of(night) == {"plan": "done", "label": "done"}
    assert store.size(LATEST_KEY) is None


@pytest.mark.usefixtures("without_ray")
def test_shards_added_during_a_nightly_run_are_left_to_the_next(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    late = [pair(number) for number in range(70, 77)]

    def comes(planned: Plan, *rest: Any) -> None:  # at the end of labeling
        write_shard(source / "late.parquet", late)

    config = write_config(tmp_path / "night.yaml", model)
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.labeling.label_run.check_coverage", comes)
        outcome = run_nightly(config, source, output)
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert published(output) == rows_of(corpus)
    found = detail_of(nights(output)[-1], "reconcile")
    assert found == {"shards": 2, "rows": 60, "shards_came_later": 1}
    assert run_nightly(config, source, output).exit_code == 0
    assert published(output) == rows_of(corpus | {"late.parquet": late})


def test_an_input_replaced_during_a_nightly_run_is_not_published(labeled: LabeledInput) -> None:
    with pytest.raises(
        ShardChangedError, match=r"/gone\.parquet: the shard was rewritten or removed"
    ):
        labeled.publish(shards={"gone.parquet": "its key"})
    assert labeled.output.size(LATEST_KEY) is None


def test_a_failed_nightly_run_is_reported_and_raises_its_own_error(
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
    whole = load_config(
        PipelineConfig, str(write_config(tmp_path / "night.yaml", model, changes)), []
    )
    where = (str(tmp_path / "in"), str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"nowhere: no \*\.parquet, \*\.pq there"):
        run_night(whole, *where, QUIET, report=report)
    assert seen == [("failed", "plan", None)]
    (night,) = nights(tmp_path / "out")
    assert steps_of(night) == {"plan": "failed", "report": "failed"}
    assert detail_of(night, "report") == {"error": "the report cannot be written"}


@pytest.mark.usefixtures("without_ray")
def test_a_report_that_fails_hides_nothing(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]]
) -> None:
    assert corpus

    def report(output: Store, run_id: str, snapshot_id: str | None) -> None:
        raise StorageError("the report cannot be written")

    config = str(write_config(tmp_path / "night.yaml", model))
    where = (str(tmp_path / "in"), str(tmp_path / "out"))
    blocking = load_config(PipelineConfig, config, ["gate.at_most.tie=0.05"])
    passing = load_config(PipelineConfig, config, ["gate.at_most.tie=0.9"])
    assert run_night(blocking, *where, QUIET, report=report) == 3
    with pytest.raises(StorageError, match="the report cannot be written"):
        run_night(passing, *where, QUIET, report=report)
    blocked, published = nights(tmp_path / "out")
    assert (blocked["state"], blocked["exit_code"]) == ("blocked", 3)
    assert (published["state"], published["exit_code"]) == ("published", 2)
    for night in (blocked, published):
        assert steps_of(night)["report"] == "failed"


def test_a_stopped_nightly_run_ends_before_its_next_step(
    tmp_path: Path, model: Path, corpus: dict[str, list[Row]]
) -> None:
    assert corpus
    stop = Stop()
    stop.ask()
    whole = load_config(PipelineConfig, str(write_config(tmp_path / "night.yaml", model)), [])
    source, output = tmp_path / "in", tmp_path / "out"
    with pytest.raises(StoppedError, match="plan was the next step; the same command goes on"):
        run_night(whole, str(source), str(output), QUIET, stop=stop)
    (night,) = nights(output)
    assert (night["state"], night["exit_code"], night["steps"]) == ("stopped", 143, [])


def test_a_nightly_run_that_waits_for_a_lease_can_be_stopped(tmp_path: Path, model: Path) -> None:
    output, stop = tmp_path / "out", Stop()
    write_corpus(tmp_path / "in")
    whole = load_config(PipelineConfig, str(write_config(tmp_path / "night.yaml", model)), [])
    writer_lease(Store(str(output)), "other", 600, QUIET)
    stop.ask()
    with pytest.raises(StoppedError, match="another run's lease was being watched"):
        run_night(whole, str(tmp_path / "in"), str(output), QUIET, stop=stop)
    assert nights(output) == []


def test_a_nightly_run_names_another_writer_that_holds_the_lease(
    tmp_path: Path, model: Path
) -> None:
    source, output, metrics = tmp_path / "in", tmp_path / "out", tmp_path / "night.prom"
    write_shard(source / "empty.parquet", [])
    changes = {"metrics": {"textfile": str(metrics)}}
    config = write_config(tmp_path / "night.yaml", model, changes)
    with writer_lease(Store(str(output)), "the-other", 3, QUIET):
        outcome = run_nightly(config, source, output)
    assert outcome.exit_code == 5
    assert "the lease is held by run the-other on host" in outcome.error
    assert "pairmill_night_exit_code 5\n" in metrics.read_text()  # nothing else reports this run
    assert nights(output) == []
    assert run_nightly(config, source, output).exit_code == 0
    assert published(output) == []
