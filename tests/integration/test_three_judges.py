"""Three judges side by side, of which some have labelled before: as one after the other, no Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.labeling import dataflow, planned_run
from pipeline.labeling.cluster import ray_session
from pipeline.labeling.label_config import WorkersConfig
from pipeline.parts.label_index import open_index
from pipeline.store.object_store import Store
from tests.labeling import Row, forbid_ray, run_label, run_records, write_config
from tests.shards import labels_of, pair, write_shard
from tests.without_ray import no_session

HARD = {2, 5, 13, 14}


def _rows(first: int, last: int) -> list[Row]:
    marks = dict.fromkeys(HARD, "HARD")
    numbers = range(first, last)
    return [pair(n, images=None, prompt=f"Question {n}? {marks.get(n, '')}") for n in numbers]


def _judge(model: Path, temperature: float, unsure_of: str = "HARD") -> dict[str, Any]:
    sampling = {"temperature": temperature}
    return {
        "judge": {
            **{"model": {"name": str(model)}, "sampling": sampling},
            "votes": {"max_votes": 2},
        },
        "policy": {"min_confidence": 0.8},
        "engine": {"kind": "scripted", "script": {"faults": {unsure_of: "flip"}}},
        "workers": {"gpus": 1},
    }


def _config(path: Path, model: Path, judges: list[dict[str, Any]], together: bool) -> Path:
    cascade = {"judges": judges, "side_by_side": together}
    last = {"sampling": {"temperature": 0.9}}
    small = {"unit_rows": 4}
    return write_config(path, model, {"judge": last, "cascade": cascade, "input": small})


def _verdicts(output: Path) -> list[tuple[Any, ...]]:
    names = ("judge_id", "shard", "row", "status", "preference", "n_votes", "decided_by")
    return sorted(tuple(str(row.get(name)) for name in names) for row in labels_of(output))


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("at_once", [True, False])
def test_a_judge_is_put_before_two_that_are_done(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    monkeypatch.setattr("pipeline.labeling.cascade.cascade_run.pools_fit", lambda runs: at_once)
    source, outputs = tmp_path / "in", [tmp_path / "one-by-one", tmp_path / "together"]
    # The second judge settles nothing, so that the last one has labelled every row.
    new, old = _judge(model, 0.2), _judge(model, 0.5, unsure_of="Question")
    for judges, last in (([old], 12), ([new, old], 12), ([new, old], 20)):
        write_shard(source / "a.parquet", _rows(0, 12))
        if last > 12:
            write_shard(source / "b.parquet", _rows(12, last))
        for together, output in enumerate(outputs):
            config = _config(tmp_path / "config.yaml", model, judges, bool(together))
            done = run_label(config, source, output)
            assert (done.exit_code, done.error) == (0, "")
        assert _verdicts(outputs[0]) == _verdicts(outputs[1])
    with monkeypatch.context() as quiet:
        forbid_ray(quiet)
        assert run_label(config, source, outputs[1]).exit_code == 0


@pytest.mark.usefixtures("without_ray")
def test_a_judge_is_put_before_two_that_have_done_some(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    new, old = _judge(model, 0.2), _judge(model, 0.5)
    write_shard(source / "a.parquet", _rows(0, 12))
    config = _config(tmp_path / "config.yaml", model, [old], together=True)
    assert run_label(config, source, output).exit_code == 0
    write_shard(source / "b.parquet", _rows(12, 20))

    sizes: list[WorkersConfig] = []

    def started(workers: WorkersConfig, *rest: object) -> Any:
        sizes.append(workers)
        return no_session()

    monkeypatch.setattr(planned_run, "_MANY_SHARDS", 1)  # Ray plans them
    monkeypatch.setattr(dataflow, "plan_shards_by_tasks", lambda plan, some: list(map(plan, some)))
    monkeypatch.setattr(ray_session, "ray_session", started)
    config = _config(tmp_path / "config.yaml", model, [new, old], together=True)
    done = run_label(config, source, output)
    assert (done.exit_code, done.error) == (0, "")
    assert sizes[0].max * sizes[0].gpus == 3  # of all pools, not of the first one's
    rows = labels_of(output)
    assert len({(row["judge_id"], row["shard"], row["row"]) for row in rows}) == len(rows) == 60
    # What parts of a later judge were looked into for names the judges before.
    store, behind = Store(str(output)), {row["judge_id"] for row in rows if not row["n_votes"]}
    assert len(behind) == 2
    for judge_id in behind:
        assert all("cascade" in asking for asking in open_index(store, judge_id).state.askings)


@pytest.mark.usefixtures("without_ray")
def test_parts_that_are_looked_into_state_the_judges_before_as_they_did(
    tmp_path: Path, model: Path
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    write_shard(source / "a.parquet", _rows(0, 8))
    config = _config(tmp_path / "config.yaml", model, [_judge(model, 0.5)], together=True)
    for retries in ((), ("--retry-quarantined",)):  # none is
        done = run_label(config, source, output, *retries)
        assert (done.exit_code, done.error) == (0, "")
    last = run_records(output)[0]["judge_id"]
    askings = open_index(Store(str(output)), last).state.askings
    assert [("cascade" in asking, parts) for asking, parts in askings.items()] == [(True, 2)]
