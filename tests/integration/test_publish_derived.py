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
from tests.publishing import SMALL, Mill, latest_of, live_rows, run_publish

STRICT = PolicyConfig(min_confidence=0.9)


def decided(mill: Mill, labeler: Labeler, table: str) -> list[Row]:
    """The rows that a table must have if this labeler decides; counted row by row."""
    rows = []
    for row in (row for name in sorted(mill.shards) for row in mill.shards[name]):
        new = row | {"policy_id": labeler.policy_id}
        if row["status"] != "quarantined":
            new |= labeler.decide([Vote.from_row(vote) for vote in row["votes"]]).as_row()
        if (new["status"] == "quarantined") == (table == "quarantine"):
            rows.append({name: value for name, value in new.items() if name != "votes"})
    return rows


def assert_decided(mill: Mill, labeler: Labeler) -> None:
    for table in ("labels", "quarantine"):
        assert live_rows(mill.output, table) == decided(mill, labeler, table)
    assert live_rows(mill.output, "votes") == mill.expected("votes")
    policy = open_manifest(mill.output).policy
    assert policy is not None
    assert policy.policy_id == labeler.policy_id


def test_another_policy_takes_effect_at_the_next_publish(mill: Mill) -> None:
    first = mill.publish().manifest
    judge = mill.made.judge
    assert_decided(mill, Labeler.of(judge))
    second = mill.publish(policy=STRICT).manifest
    assert second.snapshot_id != first.snapshot_id
    assert_decided(mill, Labeler.of(judge, STRICT))
    # Two votes for a side, or the other: 7/8. Everything is undecided but for the ties of four.
    assert (first.counts["labeled"], first.counts["tie"]) == (32, 17)
    assert (second.counts["labeled"], second.counts["tie"]) == (0, 17)
    assert second.policy is not None
    assert second.policy.rule["min_confidence"] == 0.9
    third = mill.publish()
    assert (third.manifest.snapshot_id, third.changed) == (first.snapshot_id, True)


def test_labels_of_the_day_by_two_policies_become_one(mill: Mill) -> None:
    mill.shard("z.parquet", 7, seed=1, label=False)
    (entry,) = mill.source.list("z.parquet")
    key = shard_key("z.parquet", entry.size, mill.source.content_key(entry))
    cast = [[scored("ab", 9, 2), scored("ba", 9, 2)] for _ in range(7)]
    day = Labeler.of(mill.made.judge, PolicyConfig(undecided="tie", min_confidence=0.95))
    rows = rows_of(cast, day, mill.made.judge_id, 0, "z.parquet")
    assert {row["status"] for row in rows} == {"tie"}
    assert commit_part(mill.output, mill.made.judge_id, Unit("z.parquet", key, 0, 7), rows)
    mill.shards["z.parquet"] = [row | {"part_revision": 1} for row in rows]
    mill.publish()
    assert_decided(mill, Labeler.of(mill.made.judge))
    of_shard = [row for row in live_rows(mill.output) if row["shard"] == "z.parquet"]
    assert {(row["status"], row["preference"]) for row in of_shard} == {("labeled", "a")}


def test_p_a_is_everywhere_or_nowhere(mill: Mill) -> None:
    mill.publish()
    assert all(row["p_a"] is None for row in live_rows(mill.output))
    fitted = calibration(mill.made.judge_id, weights=(0.2, 1.5, 0.4))
    put_calibration(mill.output, fitted)
    manifest = mill.publish().manifest
    assert_decided(mill, Labeler.of(mill.made.judge, None, fitted))
    assert all(row["p_a"] is not None for row in live_rows(mill.output))
    assert manifest.policy is not None
    assert manifest.policy.calibration_id == fitted.calibration_id
    assert manifest.judge["calibration"]["calibration_id"] == fitted.calibration_id
    none = mill.publish(calibration="none").manifest
    assert "calibration" not in none.judge
    assert all(row["p_a"] is None for row in live_rows(mill.output))


def test_the_votes_settings_of_the_caller_count_where_the_policy_leaves_them_open(
    mill: Mill,
) -> None:
    votes = mill.made.judge.votes.model_copy(update={"threshold": 0.86})
    mill.publish(votes=votes)
    judge = mill.made.judge.model_copy(update={"votes": votes})
    assert_decided(mill, Labeler.of(judge))


def test_a_policy_that_labels_nothing_is_refused(mill: Mill) -> None:
    with pytest.raises(ConfigError, match=r"policy.threshold to at most"):
        mill.publish(policy=PolicyConfig(threshold=0.9999))
    assert list(mill.output.list("snapshots")) == []


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
    other = Mill.at(str(tmp_path))  # the judge that the output knows already
    other.shard("a.parquet", 5)
    write_card(other.output, card)
    mill = Mill(other.source, Labelled(other.output, judge, card["judge_id"]))
    mill.shards["a.parquet"] = []
    mill.label("a.parquet", 0, 5)
    where = ("--input", mill.source.uri)
    both = run_publish(mill.output, *where)
    assert (both.exit_code, "the ids of 2 judges" in both.error) == (2, True)
    file = settings(tmp_path, **config, policy={"min_confidence": 0.9})
    done = run_publish(mill.output, *where, "--config", file)
    assert done.exit_code == 0, done.error
    assert done.event("published")["judge_id"] == card["judge_id"][:16]
    assert_decided(mill, Labeler.of(judge, STRICT))
    # Somebody who names a judge gets that one, and the policy of the configuration.
    named = run_publish(mill.output, *where, "--config", file, "--judge", other.made.judge_id[:9])
    assert named.exit_code == 0, named.error
    assert_decided(other, Labeler.of(other.made.judge, STRICT))


def test_a_derivation_is_published_by_its_policy_and_calibration(
    mill: Mill, tmp_path: Path
) -> None:
    fitted = calibration(mill.made.judge_id, weights=(0.2, 1.5, 0.4))
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(fitted.model_dump(mode="json")), encoding="utf-8")
    asked = ("--policy.min_confidence", "0.7", "--calibration", str(file))
    of_judge = ("--output", mill.output.uri, "--judge", mill.made.judge_id)
    done = run_job(derive.main, [*of_judge, *asked])
    assert done.exit_code == 0, done.error
    said = done.event("done")
    labeler = Labeler.of(mill.made.judge, PolicyConfig(min_confidence=0.7), fitted)
    for which in (said["derived"], said["policy_id"][:9]):
        outcome = run_publish(mill.output, "--input", mill.source.uri, "--derivation", which)
        assert outcome.exit_code == 0, outcome.error
        assert_decided(mill, labeler)
    counts = open_manifest(mill.output).counts
    assert {name: counts[name] for name in Status} == {name: said.get(name, 0) for name in Status}


@pytest.mark.parametrize(
    ("which", "words"),
    [("feed", "derivation 'feed': 0 policies"), ("./no-such", "derivation.json")],
)
def test_a_derivation_that_is_not_there(mill: Mill, which: str, words: str) -> None:
    outcome = run_publish(mill.output, "--input", mill.source.uri, "--derivation", which)
    assert (outcome.exit_code, words in outcome.error) == (2, True), outcome.error


def test_a_derivation_that_would_be_another_now_is_refused(mill: Mill) -> None:
    done = run_job(derive.main, ["--output", mill.output.uri, "--judge", mill.made.judge_id])
    key = f"{done.event('done')['derived'].removeprefix(mill.output.uri + '/')}/derivation.json"
    record = json.loads(mill.output.read(key)) | {"policy_id": "ab" * 32}
    mill.output.put(key, json.dumps(record).encode())
    digits = key.split("policy=")[1][:8]
    outcome = run_publish(mill.output, "--input", mill.source.uri, "--derivation", digits)
    assert outcome.exit_code == 2
    assert "would decide otherwise" in outcome.error
    with pytest.raises(Exception, match="LATEST"):
        latest_of(mill.output)


def test_sizes_of_files_change_no_label(mill: Mill) -> None:
    mill.publish()
    before = live_rows(mill.output)
    mill.publish(SMALL.model_copy(update={"file_mb": 1.0}))
    assert live_rows(mill.output) == before
