"""Four criteria on real vLLM: each one's score is stored as it was written, and weighted."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.relabel import Relabeler
from pipeline.engines import vllm_engine
from pipeline.engines.engine import Chat, Engine, Rendered, Reply, Sampling
from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.tiny_judge.scene_corpus import scene_rows
from pipeline.labeling.pair_judge import Judge
from pipeline.media.media_store import MediaStore
from schemas.contract import table_of
from schemas.labels import LABELS
from tests.engines.conftest import TinyJudge

pytestmark = pytest.mark.engine
WEIGHTS = {"Accuracy": 3.0, "Detail": 2.0, "Tone": 1.0, "Safety": 4.0}
OTHERS = {"Accuracy": 0.5, "Detail": 0.25, "Tone": 5.0, "Safety": 1.0}
WRITTEN = re.compile(r"(\w+) of (\d): (\d);")
FORMAT: dict[str, Any] = {
    **{"family": "pair", "candidates": ["text"], "user": "{rubric}\n{question}\n{answers}"},
    "answer": "[{n}] {answer}",
    "reply": {
        **{"think": "none", "at": "whole", "wrap": "{criterion} of {n}: {};"},
        **{"score": "1..9 int", "each": True, "crit": "rubric"},
    },
}


class Recorded:
    """An engine, and the replies that it gave to each prompt."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.at_once = engine, engine.at_once
        self.replies: dict[str, str] = {}

    def render(self, chat: Chat) -> Rendered:
        return self._engine.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        reply = await self._engine.reply(request_id, prompt, sampling)
        self.replies[f"{prompt.chat.user}/{sampling.seed}"] = reply.text
        return reply

    def close(self) -> None:
        raise AssertionError("the engine is of the session")


def test_each_criterions_score_is_stored_and_weighted(
    tiny: TinyJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tiny judge knows no such form: the grammar is forced on whatever it is about to write.
    monkeypatch.setattr(vllm_engine, "LEAST_MEANT", 0.0)
    declared = {"about": "mine", "formats": {"four": FORMAT}}
    (tmp_path / "bundle.yaml").write_text(json.dumps(declared), encoding="utf-8")
    criteria = [{"name": name, "text": "?", "weight": w} for name, w in WEIGHTS.items()]
    settings: dict[str, Any] = {
        **{"bundle": str(tmp_path), "allow_experimental": True, "rubric": {"criteria": criteria}},
        "sampling": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 400, "constrained": True},
        "votes": {"min_votes": 2, "max_votes": 2},
        "media": tiny.config.judge.media.model_dump(),
        "model": tiny.config.judge.model.model_dump(),
    }
    judge = JudgeConfig.model_validate(settings)
    engine = Recorded(tiny.engine)
    asked = Judge(engine, judge, tiny.config.engine, MediaStore([str(tmp_path)], 10**7))
    where = {"shard": "s", "unit": "u", "judge_id": "j", "run_id": "r", "epoch": 0}

    async def all_rows() -> list[dict[str, Any]]:
        rows = enumerate(scene_rows(4, 41, "pairwise_scores/text/words"))
        return await asyncio.gather(
            *(asked.judge_pair(row | {"defect": None}, {**where, "row": n}) for n, row in rows)
        )

    labels = tiny.run(all_rows())
    written = {text for key, text in engine.replies.items()}
    assert len(engine.replies) == 8
    assert len(written) > 1
    for label in labels:
        found = []
        for vote in label["votes"]:
            assert vote["outcome"] == "verdict", (vote["finish_reason"], [*engine.replies.values()])
            said = {each["name"]: tuple(each["scores"]) for each in vote["criteria"]}
            assert list(said) == list(WEIGHTS)
            assert _as_written(said, vote["order"]) in [_read(text) for text in written]
            found.append(said)
        for weights, row in (
            (WEIGHTS, label),
            (OTHERS, _relabelled(judge, label)),
        ):
            assert row["scores"] == pytest.approx(_weighted(found, weights))
        assert {each["name"] for each in label["criteria"]} == set(WEIGHTS)


def _read(reply: str) -> dict[tuple[str, int], float]:
    return {(name, int(n)): float(score) for name, n, score in WRITTEN.findall(reply)}


def _as_written(said: dict[str, tuple[float, ...]], order: str) -> dict[tuple[str, int], float]:
    return {
        (name, order.index(letter) + 1): score
        for name, scores in said.items()
        for letter, score in zip("ab", scores, strict=True)
    }


def _weighted(votes: list[dict[str, tuple[float, ...]]], weights: dict[str, float]) -> list[float]:
    total = sum(weights.values())
    return [
        fmean(sum(weights[name] * vote[name][side] for name in weights) / total for vote in votes)
        for side in (0, 1)
    ]


def _relabelled(judge: JudgeConfig, label: dict[str, Any]) -> dict[str, Any]:
    """The label under other weights, from its stored votes alone."""
    labeler = Labeler.of(judge, PolicyConfig(weights=OTHERS))
    row: dict[str, Any]
    (row,) = Relabeler(labeler).table(table_of([label], LABELS)).to_pylist()
    return row
