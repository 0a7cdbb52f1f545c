"""A calibrated reward model first, and behind it, at the same time, a judge at a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs import label, publish
from pipeline.aggregation.calibration import calibration_id
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.tie_band import TieBand
from pipeline.store.object_store import Store
from tests.calibrations import calibration
from tests.chat_server import chat_server, completion
from tests.integration.test_judge_at_a_server import by_stated_scores
from tests.labeling import label_arguments, run_job, run_label, verdict_of, write_config
from tests.publishing import live_rows
from tests.shards import labels_of, pair, write_shard

ROWS, UNIT = 30, 8
CLEAR = 3  # points between both answers from which the reward model settles a pair
SUREST = 7
OTHERWISE = 3  # the pair of which the server says the opposite


def _gap(row: dict[str, Any]) -> int:
    texts = (row[name]["text"] for name in ("response_a", "response_b"))
    first, second = (int(text.rpartition("score=")[2].split()[0]) for text in texts)
    return abs(first - second)


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """The verdict that the answers state, but for one pair."""
    if f"picture {OTHERWISE}?" not in str(body["messages"]):
        return by_stated_scores(body)
    text = str(body["messages"][-1]["content"])
    first = text.index("Reply 3") < text.index("Answer 3")
    return completion(f"<think>\nNo.\n</think>\n\n{_verdict(9, 2) if first else _verdict(2, 9)}")


def _verdict(*scores: int) -> str:
    return "".join(f"<answer>{score}</answer>" for score in scores)


@pytest.mark.usefixtures("without_ray")
def test_what_a_reward_model_leaves_open_is_asked_of_a_server(tmp_path: Path, model: Path) -> None:
    rows, source, output = [pair(number) for number in range(ROWS)], tmp_path / "in", tmp_path / "o"
    write_shard(source / "a.parquet", rows)
    reward: dict[str, Any] = {
        "judge": {"bundle": "skywork-vl-reward", "model": {"name": str(model)}},
        "engine": {"kind": "scripted", "decode_threads": 2},
    }
    small = {"input": {"unit_rows": UNIT}}
    alone = write_config(tmp_path / "reward.yaml", model, {**reward, **small})
    few = tmp_path / "gold"
    write_shard(few / "g.parquet", [pair(0)])
    assert run_label(alone, few, output).exit_code == 0
    (first,) = {row["judge_id"] for row in labels_of(output)}
    # A logistic function of the gap: 0.7 is reached by three points, and 0.85 by six.
    weights, band = (0.31, 0.0, 0.0), TieBand(margin=0, ties=0.6)
    name = calibration_id(first, weights, (), band)
    fitted = calibration(first, weights, tie_band=band, calibration_id=name)
    put_calibration(Store(str(output)), fitted)
    reward["policy"] = {"min_confidence": 0.7}

    with chat_server() as server:
        server.reply = answer
        cascade = {
            "cascade": {"judges": [reward], "side_by_side": True},
            "judge": {"model": {"name": "team/judge"}, "votes": {"max_votes": 2}},
            "engine": {"kind": "openai", "endpoint": {"url": server.url, "retry_s": 30}},
            "workers": {"gpus": 0, "cpus": 1},
            **small,
        }
        config = write_config(tmp_path / "cascade.yaml", Path("unused"), cascade)

        def published(*how: str) -> dict[int, dict[str, Any]]:
            for job in (label.main, publish.main):
                done = run_job(job, label_arguments(config, source, output, *how))
                assert (done.exit_code, done.error) == (0, "")
            return {row["row"]: row for row in live_rows(Store(str(output)))}

        found = published()
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

        # Explained is what would be exported, by a verdict that is the label's.
        sure = {number for number in settled if _gap(rows[number]) == SUREST}
        how = ("--cascade.explain", "true", "--export.selection.min_confidence", "0.85")
        explained = published(*how)
        told = {number for number, row in explained.items() if row["rationale"]}
        known = {row["row"] for row in asked}
        assert told == (set(range(ROWS)) - settled) | ((sure | known) - {OTHERWISE})
        decided = ("status", "preference", "confidence", "decided_by")
        for number, row in explained.items():
            assert [row[name] for name in decided] == [found[number][name] for name in decided]
