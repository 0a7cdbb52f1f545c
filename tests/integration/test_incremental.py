"""A nightly run's increment: new and changed shards, and quarantined rows that are tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labeling import (
    assert_exact,
    contents,
    forbid_ray,
    run_label,
    run_records,
    write_config,
)
from tests.shards import labels_of, pair, write_shard


@pytest.mark.usefixtures("without_ray")
def test_of_a_changed_shard_only_the_changed_rows_are_judged(tmp_path: Path, model: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    config = write_config(tmp_path / "label.yaml", model, {"input": {"unit_rows": 16}})
    added = {
        "kept.parquet": [pair(n) for n in range(20)],
        "changed.parquet": [pair(n) for n in range(20, 60)],
        "deleted.parquet": [pair(n) for n in range(60, 65)],
    }
    for name, rows in added.items():
        write_shard(source / name, rows)
    assert run_label(config, source, output).exit_code == 0

    (source / "deleted.parquet").unlink()
    # Two rows change, one goes, one comes, and all that follow move up.
    changed = [*added["changed.parquet"][1:], pair(99)]
    changed[3], changed[30] = pair(24, prompt="Another?"), pair(70)
    write_shard(source / "changed.parquet", changed)
    new = [pair(n) for n in range(100, 107)]
    write_shard(source / "new.parquet", new)
    before = contents(output, "parts")
    outcome = run_label(config, source, output)
    assert (outcome.exit_code, outcome.error) == (0, "")
    plan, done = outcome.event("plan"), outcome.event("done")
    assert (plan["shards_changed"], plan["pairs_of_changed_shards"]) == (1, 40)
    assert (plan["pairs_to_do"], done["pairs"], done["reused"]) == (47, 47, 37)
    assert done["judgments"] == 2 * (3 + 7)
    after = contents(output, "parts")
    assert {key: after[key] for key in before} == before
    first, second = (record["run_id"] for record in run_records(output))
    labels = [row for row in labels_of(output) if row["shard"] == "changed.parquet"]
    current = [row for row in labels if row["unit"] and row["run_id"] == second]
    assert sorted(row["pair_id"] for row in current) == ["pair-24", "pair-70", "pair-99"]
    assert {row["run_id"] for row in labels} == {first, second}


@pytest.mark.usefixtures("without_ray")
def test_quarantined_rows_are_tried_again_by_reason(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    rows = [pair(number) for number in range(40)]
    rows[3], rows[33] = pair(3, prompt="<chat>"), pair(33, prompt="<no>")
    write_shard(source / "a.parquet", rows)
    faults = {"faults": {"<chat>": "malformed", "<no>": "refused"}}
    broken = {"engine": {"script": faults}, "input": {"unit_rows": 16}}
    config = write_config(tmp_path / "broken.yaml", model, broken)
    limit = ("--set", "quarantine.max_fraction=0.1")
    assert run_label(config, source, output, *limit).exit_code == 0
    reasons = {("a.parquet", 3): "malformed", ("a.parquet", 33): "refused"}
    assert_exact(output, {"a.parquet": rows}, reasons)

    fixed = write_config(tmp_path / "fixed.yaml", model, {"input": {"unit_rows": 16}})
    outcome = run_label(fixed, source, output, *limit, "--retry-quarantined", "malformed")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert outcome.event("plan")["pairs_to_retry"] == 1
    done = outcome.event("done")
    assert (done["pairs"], done["reused"], done["judgments"]) == (16, 15, 2)
    assert_exact(output, {"a.parquet": rows}, {("a.parquet", 33): "refused"})

    outcome = run_label(fixed, source, output, "--retry-quarantined")
    assert (outcome.exit_code, outcome.event("plan")["pairs_to_retry"]) == (0, 1)
    assert_exact(output, {"a.parquet": rows})
    forbid_ray(monkeypatch)
    outcome = run_label(fixed, source, output, "--retry-quarantined")
    assert (outcome.exit_code, outcome.event("plan")["pairs_to_do"]) == (0, 0)


def test_an_unknown_reason_is_refused(tmp_path: Path, model: Path) -> None:
    config = write_config(tmp_path / "label.yaml", model)
    outcome = run_label(config, tmp_path, tmp_path / "out", "--retry-quarantined", "bad")
    assert (outcome.exit_code, outcome.events) == (2, [])
    assert "'bad' is not a valid Reason; expected some of malformed, truncated" in outcome.error
