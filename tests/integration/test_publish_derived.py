"""A snapshot derives every label from votes, under one policy and calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import derive
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.model_version import model_version
from pipeline.judging.judge_cards import judge_card, write_card
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.pairs.shards import shard_key
from pipeline.parts.commit import commit_part
from pipeline.parts.units import Unit
from pipeline.runtime.errors import ConfigError
from pipeline.snapshots.snapshot_reader import open_manifest
from schemas.labels import Status
from tests.calibrations import calibration, scored
from tests.derivations import Labelled, Row, rows_of
from tests.labeling import run_job
from tests.publishing import SMALL, LabeledInput, live_rows, run_publish

STRICT = PolicyConfig(min_confidence=0.9)


def decided(labeled: LabeledInput, labeler: Labeler, table: str) -> list[Row]:
    """The rows that a table must have if this labeler decides; counted row by row."""
    rows = []
    for row in (row for name in sorted(labeled.shards) for row in labeled.shards[name]):
        new = row | {"policy_id": labeler.policy_id}
        if row["status"] != "quarantined":
            new |= labeler.decide([Vote.from_row(vote) for vote in row["votes"]]).as_row()
        if (new["status"] == "quarantined") == (table == "quarantine"):
            rows.append({name: value for name, value in new.items() if name != "votes"})
    return rows


def assert_decided(labeled: LabeledInput, labeler: Labeler) -> None:
    for table in ("labels", "quarantine"):
        assert live_rows(labeled.output, table) == decided(labeled, labeler, table)
    assert live_rows(labeled.output, "votes") == labeled.expected("votes")
    policy = open_manifest(labeled.output).policy
    assert policy is not None
    assert policy.policy_id == labeler.policy_id


def test_another_policy_takes_effect_at_the_next_publish(labeled: LabeledInput) -> None:
    first = labeled.publish().manifest
    judge = labeled.made.judge
    assert_decided(labeled, Labeler.of(judge))
    second = labeled.publish(policy=STRICT).manifest
    assert second.snapshot_id != first.snapshot_id
    assert_decided(labeled, Labeler.of(judge, STRICT))
    # Two votes for a side, or the other: 7/8. Everything is undecided but for the ties of four.
    assert (first.counts["labeled"], first.counts["tie"]) == (32, 17)
    assert (second.counts["labeled"], second.counts["tie"]) == (0, 17)
    assert second.policy is not None
    assert second.policy.rule["min_confidence"] == 0.9
    third = labeled.publish()
    assert (third.manifest.snapshot_id, third.changed) == (first.snapshot_id, True)


def test_labels_of_the_day_by_two_policies_become_one(labeled: LabeledInput) -> None:
    labeled.shard("z.parquet", 7, seed=1, label=False)
    (entry,) = labeled.source.list("z.parquet")
    key = shard_key("z.parquet", entry.size, labeled.source.content_key(entry))
    cast = [[scored("ab", 9, 2), scored("ba", 9, 2)] for _ in range(7)]
    day = Labeler.of(labeled.made.judge, PolicyConfig(undecided="tie", min_confidence=0.95))
    rows = rows_of(cast, day, labeled.made.judge_id, 0, "z.parquet")
    assert {row["status"] for row in rows} == {"tie"}
    assert commit_part(labeled.output, labeled.made.judge_id, Unit("z.parquet", key, 0, 7), rows)
    labeled.shards["z.parquet"] = [row | {"part_revision": 1} for row in rows]
    labeled.publish()
    assert_decided(labeled, Labeler.of(labeled.made.judge))
    of_shard = [row for row in live_rows(labeled.output) if row["shard"] == "z.parquet"]
    assert {(row["status"], row["preference"]) for row in of_shard} == {("labeled", "a")}


def test_p_a_is_everywhere_or_nowhere(labeled: LabeledInput) -> None:
    labeled.publish()
    assert all(row["p_a"] is None for row in live_rows(labeled.output))
    fitted = calibration(labeled.made.judge_id, weights=(0.2, 1.5, 0.4))
    put_calibration(labeled.output, fitted)
    manifest = labeled.publish().manifest
    assert_decided(labeled, Labeler.of(labeled.made.judge, None, fitted))
    assert all(row["p_a"] is not None for row in live_rows(labeled.output))
    assert manifest.policy is not None
    assert manifest.policy.calibration_id == fitted.calibration_id
    assert manifest.judge["calibration"]["calibration_id"] == fitted.calibration_id
    none = labeled.publish(calibration="none").manifest
    assert "calibration" not in none.judge
    assert all(row["p_a"] is None for row in live_rows(labeled.output))


def test_the_votes_settings_of_the_caller_count_where_the_policy_leaves_them_open(
    labeled: LabeledInput,
) -> None:
    votes = labeled.made.judge.votes.model_copy(update={"threshold": 0.86})
    labeled.publish(votes=votes)
    judge = labeled.made.judge.model_copy(update={"votes": votes})
    assert_decided(labeled, Labeler.of(judge))


def test_a_policy_that_labels_nothing_is_refused(labeled: LabeledInput) -> None:
    with pytest.raises(ConfigError, match=r"policy.threshold to at most"):
        labeled.publish(policy=PolicyConfig(threshold=0.9999))
    assert list(labeled.output.list("snapshots")) == []


def settings(tmp_path: Path, **sections: Any) -> str:
    """A configuration file."""
    small = {"publish": {"file_mb": 0.03, "row_group_mb": 0.03, "lease_s": 2}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(small | sections), encoding="utf-8")
    return str(path)


def test_a_configuration_gives_judge_and_policy(tmp_path: Path) -> None:
    config = {
        "judge": {"model": {"name": "tiny-judge"}, "sampling": {"temperature": 0.5}},
        "engine": {"kind": "scripted"},
    }
    judge = JudgeConfig.model_validate(config["judge"])
    card = judge_card(judge, model_version(judge.model, EngineConfig(kind="scripted")), "scripted")
    other = LabeledInput.at(str(tmp_path))  # the judge that the output knows already
    other.shard("a.parquet", 5)
    write_card(other.output, card)
    labeled = LabeledInput(other.source, Labelled(other.output, judge, card["judge_id"]))
    labeled.shards["a.parquet"] = []
    labeled.label("a.parquet", 0, 5)
    where = ("--input", labeled.source.uri)
    both = run_publish(labeled.output, *where)
    assert (both.exit_code, "the ids of 2 judges" in both.error) == (2, True)
    file = settings(tmp_path, **config, policy={"min_confidence": 0.9})
    done = run_publish(labeled.output, *where, "--config", file)
    assert done.exit_code == 0, done.error
    assert done.event("published")["judge_id"] == card["judge_id"][:16]
    assert_decided(labeled, Labeler.of(judge, STRICT))
    # Somebody who names a judge gets that one, and the policy of the configuration.
    named = run_publish(
        labeled.output, *where, "--config", file, "--judge", other.made.judge_id[:9]
    )
    assert named.exit_code == 0, named.error
    assert_decided(other, Labeler.of(other.made.judge, STRICT))


def test_what_was_derived_is_published_by_its_policy_and_calibration(
    labeled: LabeledInput, tmp_path: Path
) -> None:
    fitted = calibration(labeled.made.judge_id, weights=(0.2, 1.5, 0.4))
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(fitted.model_dump(mode="json")), encoding="utf-8")
    policy = ("--policy.min_confidence", "0.7")
    of_judge = ("--output", labeled.output.uri, "--judge", labeled.made.judge_id)
    done = run_job(derive.main, [*of_judge, *policy, "--calibration", str(file)])
    assert done.exit_code == 0, done.error
    derived = done.event("done")
    where = ("--input", labeled.source.uri)
    for which in (str(file), f"{derived['derived']}/derivation.json"):
        outcome = run_publish(labeled.output, *where, *policy, "--calibration", which)
        assert outcome.exit_code == 0, outcome.error
        assert_decided(
            labeled, Labeler.of(labeled.made.judge, PolicyConfig(min_confidence=0.7), fitted)
        )
    manifest = open_manifest(labeled.output)
    assert manifest.policy is not None
    assert manifest.policy.policy_id == derived["policy_id"]
    assert {name: manifest.counts[name] for name in Status} == {
        name: derived.get(name, 0) for name in Status
    }
    old = run_publish(labeled.output, *where, "--derivation", derived["policy_id"][:9])
    assert (old.exit_code, "--calibration derivation.json" in old.error) == (2, True)


def test_sizes_of_files_change_no_label(labeled: LabeledInput) -> None:
    labeled.publish()
    before = live_rows(labeled.output)
    labeled.publish(SMALL.model_copy(update={"file_mb": 1.0}))
    assert live_rows(labeled.output) == before
