"""The two real engines must write the same words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.tiny_judge.corpus import scene_rows
from tests.engines.conftest import TinyJudge, start_tiny

pytestmark = pytest.mark.engine


def test_greedy_replies_of_vllm_and_transformers_are_identical(
    tiny: TinyJudge, tmp_path: Path
) -> None:
    rows = scene_rows(24, seed=7)
    reference = start_tiny(tmp_path, "engine.kind=transformers", "engine.args={}")
    expected = reference.replies(rows)
    reference.engine.close()
    got = tiny.replies(rows)
    assert [reply.text for reply in got] == [reply.text for reply in expected]
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.prompt_tokens == theirs.prompt_tokens
        assert ours.output_tokens == theirs.output_tokens
        assert ours.finish_reason == theirs.finish_reason == "stop"
