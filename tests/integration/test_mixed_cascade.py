"""A calibrated reward model first, and behind it, at the same time, a judge at a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs import publish
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.store.object_store import Store
from tests.calibrations import calibration
from tests.chat_server import chat_server
from tests.integration.test_judge_at_a_server import by_stated_scores
from tests.labeling import label_arguments, run_job, run_label, verdict_of, write_config
from tests.publishing import live_rows
from tests.shards import labels_of, pair, write_shard

ROWS, UNIT = 30, 8
CLEAR = 3  # points between both answers from which the reward model settles a pair


def _gap(row: dict[str, Any]) -> int:
    texts = (row[name]["text"] for name in ("response_a", "response_b"))
    first, second = (int(text.rpartition("score=")[2].split()[0]) for text in texts)
    return abs(first - second)


@pytest.mark.usefixtures("shared_ray")
def test_what_a_reward_model_leaves_open_is_asked_of_a_server(tmp_path: Path, model: Path) -> None:
    rows, source, output = [pair(number) for number in range(ROWS)], tmp_path / "in", tmp_path / "o"
    write_shard(source / "a.parquet", rows)
    reward: dict[str, Any] = {
        "judge": {"bundle": "skywork-vl-reward", "model": {"name": str(model)}},
        "engine": {"kind": "scripted", "decode_threads": 2},
        "policy": {"min_confidence": 0.7},
        "workers": {"gpus": 0, "cpus": 1},
    }
    small = {"input": {"unit_rows": UNIT}}
    alone = write_config(tmp_path / "reward.yaml", model, {**reward, **small})
    few = tmp_path / "gold"
    write_shard(few / "g.parquet", [pair(0)])
    assert run_label(alone, few, output).exit_code == 0
    (first,) = {row["judge_id"] for row in labels_of(output)}
    # A logistic function of the gap: 0.7 is between two points and three.
    put_calibration(Store(str(output)), calibration(first, (0.31, 0.0, 0.0)))

    with chat_server() as server:
        server.reply = by_stated_scores
        cascade = {
            "cascade": {"judges": [reward], "side_by_side": True},
            "judge": {"model": {"name": "team/judge"}, "votes": {"max_votes": 2}},
            "engine": {"kind": "openai", "endpoint": {"url": server.url, "retry_s": 30}},
            "workers": {"gpus": 0, "cpus": 1},
            **small,
        }
        config = write_config(tmp_path / "cascade.yaml", Path("unused"), cascade)
        done = run_label(config, source, output)
        assert (done.exit_code, done.error) == (0, "")
        published = run_job(publish.main, label_arguments(config, source, output))
        assert (published.exit_code, published.error) == (0, "")
    found = {row["row"]: row for row in live_rows(Store(str(output)))}
    assert sorted(found) == list(range(ROWS))
    settled = {number for number, row in enumerate(rows) if _gap(row) >= CLEAR}
    assert 0 < len(settled) < ROWS
    assert {number for number, row in found.items() if row["decided_by"] == first} == settled
    for number, row in found.items():
        assert (row["status"], row["preference"]) == verdict_of(rows[number])
        assert (row["rationale"] is None) == (number in settled)
    asked = [row for row in labels_of(output) if row["judge_id"] != first and row["votes"]]
    assert {row["row"] for row in asked} >= set(range(ROWS)) - settled
    # The probe, and both orders of each pair that it was asked about.
    assert len(server.requests) == 1 + 2 * len(asked)
