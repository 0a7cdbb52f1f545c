"""Every judging format over every kind of candidates, by a real model in a real engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.judging.judge_config import CandidateKind, JudgeConfig
from pipeline.lab.tiny_judge.asked_formats import FormatName
from pipeline.lab.tiny_judge.judging_cases import Case
from pipeline.lab.tiny_judge.scene_corpus import scene_cases
from pipeline.lab.tiny_judge.tiny_evaluation import Judged
from pipeline.labeling.pair_judge import Judge
from pipeline.media.media_store import MediaStore
from tests.engines.conftest import TinyJudge

pytestmark = pytest.mark.engine

FORMATS: tuple[FormatName, ...] = get_args(FormatName)
KINDS: tuple[CandidateKind, ...] = get_args(CandidateKind)
WHERE = {"shard": "s", "unit": "u", "judge_id": "j", "run_id": "r", "row": 0}
# Texts are asked about in five contexts in turn: a picture, several, words, a conversation, a clip.
ROWS: dict[CandidateKind, int] = {"text": 15, "image": 10, "edit": 10, "video": 10}
FLOOR = 0.75  # measured: 0.93 and more (see the model card)


def _judged(tiny: TinyJudge, config: JudgeConfig, folder: Path, rows: int) -> list[Judged]:
    cases = scene_cases(rows, 31, f"{config.format}/{config.candidates}")
    media = MediaStore([str(folder)], config.media.max_bytes)
    judge = Judge(tiny.engine, config, tiny.config.engine, media)

    async def all_rows() -> list[dict[str, Any]]:
        pairs = [row | {"defect": None} for _, row in cases]
        return await asyncio.gather(*(judge.judge_pair(pair, WHERE) for pair in pairs))

    labels = tiny.run(all_rows())
    return [Judged(case, label) for (case, _), label in zip(cases, labels, strict=True)]


@pytest.mark.parametrize("candidates", KINDS)
@pytest.mark.parametrize("format_", FORMATS)
def test_held_out_rows_are_labelled_right(
    tiny: TinyJudge, tmp_path: Path, format_: FormatName, candidates: CandidateKind
) -> None:
    config = tiny.config.judge.model_copy(update={"format": format_, "candidates": candidates})
    judged = _judged(tiny, config, tmp_path, ROWS[candidates])
    for each in judged:
        assert each.label["status"] != "quarantined", each.label["detail"]
        assert {vote["outcome"] for vote in each.label["votes"]} == {"verdict"}
    decidable = [each for each in judged if each.decidable]
    assert sum(each.right for each in decidable) / len(decidable) >= FLOOR
    if format_ == "pairwise_options":
        right = [each for each in judged if each.right]
        assert [x.label["tie_kind"] for x in right] == [_tie_kind(x.case) for x in right]


def _tie_kind(case: Case) -> str | None:
    if case.gold != "tie":
        return None
    return "good" if case.candidates[0].grade == "right" else "bad"
