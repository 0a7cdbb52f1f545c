"""Canaries: judged again in every nightly run that judges, by the same workers, and kept apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.store.object_store import Store
from tests.labeling import assert_exact, forbid_ray, run_records, verdict_of, write_config
from tests.nights import detail_of, nights, run_nightly
from tests.publishing import live_rows
from tests.shards import labels_of, pair, picture, write_shard

pytestmark = pytest.mark.usefixtures("without_charts")

Row = dict[str, Any]


def canary(number: int, gold: str) -> Row:
    """A gold pair whose picture is found by its path among the canaries alone."""
    where = {"images": [{"bytes": None, "path": f"media/{number}.png"}]}
    return pair(number, pair_id=f"canary-{number}", gold=gold, **where)


@pytest.fixture
def gold(tmp_path: Path) -> list[Row]:
    """Canaries, of which the engine gets one in five wrong; the rest are ties."""
    folder = tmp_path / "canaries"
    (folder / "media").mkdir(parents=True)
    rows = []
    for number in range(30):
        status, preference = verdict_of(pair(number))
        wrong = {"a": "b", "b": "a"}.get(str(preference), "a")
        right = "tie" if status == "tie" else str(preference)
        rows.append(canary(number, wrong if number in (0, 1, 9, 10) else right))
        (folder / "media" / f"{number}.png").write_bytes(picture(number))
    write_shard(folder / "gold.parquet", rows, 8)
    return rows


@pytest.mark.usefixtures("without_ray")
def test_canaries_are_judged_in_every_nightly_run_that_judges(
    tmp_path: Path, model: Path, gold: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shards = {name: [pair(n) for n in range(100, 130)] for name in ("a.parquet", "b.parquet")}
    for name, rows in shards.items():
        write_shard(source / name, rows)
    changes = {
        "canary": {"input": str(tmp_path / "canaries")},
        "gate": {"at_least": {"canary_agreement": 0.5}},
        "input": {"unit_rows": 8},
    }
    config = write_config(tmp_path / "night.yaml", model, changes)
    dry = run_nightly(config, source, output, "--dry-run")
    assert (dry.exit_code, dry.event("plan")["canaries"], nights(output)) == (0, 30, [])
    assert not output.exists()

    outcome = run_nightly(config, source, output)
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert (outcome.event("done")["pairs"], outcome.event("done")["canaries"]) == (60, 30)
    assert_exact(output, shards)  # no canary among the labels
    assert {row["pair_id"] for row in live_rows(Store(str(output)))} == {
        row["pair_id"] for rows in shards.values() for row in rows
    }
    (first,) = nights(output)
    root = output / "canaries" / first["run_id"]
    judged = labels_of(root)
    expected = {row["pair_id"]: verdict_of(row) for row in gold}
    assert {row["pair_id"]: (row["status"], row["preference"]) for row in judged} == expected
    assert len(judged) == 30
    # As many units as the corpus has, so that they can be spread among these.
    parts = list(root.rglob("*.parquet"))
    assert len(parts) == run_records(output)[0]["plan"]["units_to_do"] == 8
    quality = read_quality(Store(str(output)), first["snapshot_id"])
    assert quality is not None
    decided = [row for row in gold if verdict_of(row)[0] == "labeled"]
    assert quality.rates["canary_agreement"].n == len(decided) == 20
    assert quality.rates["canary_agreement"].value == pytest.approx(16 / 20)

    # Nothing to judge: no engine for canaries alone, and the gate goes by those of the last run.
    with monkeypatch.context() as patch:
        forbid_ray(patch)
        strict = ("--set", "gate.at_least.canary_agreement=0.99")
        assert run_nightly(config, source, output, *strict).exit_code == 0
    assert len(list((output / "canaries").iterdir())) == 1

    write_shard(source / "c.parquet", [pair(200)])
    assert run_nightly(config, source, output, *strict).exit_code == 3
    last = nights(output)[-1]
    assert detail_of(last, "plan")["canaries"] == 30
    assert [row["run_id"] for row in labels_of(output / "canaries" / last["run_id"])] == [
        last["run_id"]
    ] * 30
    (check,) = detail_of(last, "gate")["checks"]
    assert (check["metric"], check["n"], check["passed"]) == ("canary_agreement", 20, False)


@pytest.mark.usefixtures("shared_ray")
def test_a_canary_that_kills_its_worker_harms_nothing_else(
    tmp_path: Path, model: Path, gold: list[Row]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shards = {"a.parquet": [pair(n) for n in range(100, 140)]}
    write_shard(source / "a.parquet", shards["a.parquet"])
    gold[13] = canary(13, "a") | {"prompt": "<poison>"}
    write_shard(tmp_path / "canaries" / "gold.parquet", gold, 8)
    changes = {
        "canary": {"input": str(tmp_path / "canaries")},
        "engine": {"script": {"faults": {"<poison>": "kill"}}},
        "input": {"unit_rows": 4},  # canaries are cut as finely: few deaths find the row
        "workers": {"max_deaths": 1},
    }
    config = write_config(tmp_path / "night.yaml", model, changes)
    outcome = run_nightly(config, source, output)
    assert outcome.exit_code == 0
    assert_exact(output, shards)
    judged = labels_of(output / "canaries" / nights(output)[0]["run_id"])
    assert [row["row"] for row in judged] == list(range(30))
    quarantined = {row["row"]: row["reason"] for row in judged if row["reason"]}
    assert quarantined == {13: "engine_killed"}


def test_missing_canaries_end_the_nightly_run_before_anything_starts(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_ray(monkeypatch)
    write_shard(tmp_path / "in" / "a.parquet", [pair(1)])
    changes = {"canary": {"input": str(tmp_path / "nowhere")}}
    config = write_config(tmp_path / "night.yaml", model, changes)
    outcome = run_nightly(config, tmp_path / "in", tmp_path / "out")
    assert outcome.exit_code == 2
    assert "nowhere: no *.parquet, *.pq there" in outcome.error
    (night,) = nights(tmp_path / "out")
    assert (night["state"], night["steps"][0]["state"]) == ("failed", "failed")
