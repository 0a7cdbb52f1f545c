"""The job with a judge at a rude server: faults pass, and refusals stay with their row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat_server import ChatServer, Fault, chat_server, completion
from tests.labeling import assert_exact, forbid_ray, run_label, write_config
from tests.shards import labels_of, pair, write_shard

_STATED = re.compile(r"score=(\d+)")


def by_stated_scores(body: dict[str, Any]) -> dict[str, Any]:
    """A verdict of the scores that the answers state, in the order shown."""
    content = body["messages"][-1]["content"]
    text = "".join(part.get("text", "") for part in content)
    scores = "".join(f"<answer>{score}</answer>" for score in _STATED.findall(text))
    return completion(f"<think>\nI see.\n</think>\n\n{scores or 'ready'}")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as served:
        served.reply = by_stated_scores
        yield served


def judge_at(server: ChatServer, folder: Path, **endpoint: Any) -> Path:
    where = {"url": server.url, "key_env": "JUDGE_KEY", "retry_s": 30, **endpoint}
    changes = {
        "judge": {"model": {"name": "team/judge"}, "votes": {"max_votes": 2}},
        "engine": {"kind": "openai", "endpoint": where},
        "quarantine": {"max_fraction": 1},
        "report": {"usd_per_million_tokens": {"prompt": 2, "cached": 0.5, "output": 10}},
    }
    return write_config(folder / "label.yaml", Path("unused"), changes)


@pytest.mark.usefixtures("without_ray")
def test_faults_pass_and_refusals_stay_with_their_row(server: ChatServer, tmp_path: Path) -> None:
    rows = [pair(number) for number in range(12)]
    rows[5]["prompt"] = "a row that the server refuses"
    write_shard(tmp_path / "in" / "a.parquet", rows, 6)

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if "the server refuses" in str(body["messages"]):
            return {"error": {"message": "maximum context length is 8192", "code": 400}}
        return by_stated_scores(body)

    server.reply = answer
    config = judge_at(server, tmp_path)
    passing = [Fault(429, "{}", {"Retry-After": "0"}), Fault(503, "busy"), Fault(200, "<html>")]
    server.faults.extend([Fault(200, '{"model": "team/judge", "choices": [{"message": {}}]}')])
    server.faults.extend(passing * 3)  # the first answer is of the probe
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.error) == (0, "")
    labels = assert_exact(tmp_path / "out", {"a.parquet": rows}, {("a.parquet", 5): "too_long"})
    (vote, _) = labels[0]["votes"]
    assert (vote["prompt_tokens"], vote["cached_tokens"]) == (70, 64)
    done = outcome.event("done")
    prompt, cached, output = (done[f"{of}_tokens"] for of in ("prompt", "cached", "output"))
    assert done["tokens_usd"] * 1e6 == pytest.approx(
        2 * (prompt - cached) + cached / 2 + 10 * output
    )
    # 11 rows in both orders, and at least one of the refused row's; the faults; the probe
    assert len(server.requests) >= 22 + 1 + 9 + 1


@pytest.mark.usefixtures("shared_ray")
def test_a_key_that_is_refused_ends_the_run_and_no_row(server: ChatServer, tmp_path: Path) -> None:
    rows = [pair(number) for number in range(40)]
    write_shard(tmp_path / "in" / "a.parquet", rows, 10)
    config = judge_at(server, tmp_path)
    refused = iter(range(10_000))

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if next(refused) >= 30:  # the key expires in the middle
            return {"error": {"message": "expired key", "code": 401}}
        return by_stated_scores(body)

    server.reply = answer
    outcome = run_label(config, tmp_path / "in", tmp_path / "out", "--set", "input.unit_rows=10")
    assert outcome.exit_code == 2
    assert "expired key" in outcome.error
    assert "JUDGE_KEY" in outcome.error
    assert {row["status"] for row in labels_of(str(tmp_path / "out"))} <= {"labeled", "tie"}
    server.reply = by_stated_scores
    outcome = run_label(config, tmp_path / "in", tmp_path / "out", "--set", "input.unit_rows=10")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert_exact(tmp_path / "out", {"a.parquet": rows})


def test_a_server_that_is_away_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_ray(monkeypatch)
    write_shard(tmp_path / "in" / "a.parquet", [pair(0)], 1)
    with chat_server() as gone:
        config = judge_at(gone, tmp_path, retry_s=0.2)
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert outcome.exit_code == 2
    assert "no answer" in outcome.error
