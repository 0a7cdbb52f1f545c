"""The formats that the tiny judge is trained on: those of the default bundle, by name."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pipeline.judging.bundle import Format
from pipeline.judging.bundle_files import load_bundle
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.prompts import Prompt

FormatName = Literal["pairwise_scores", "pairwise_options", "single_score", "batch_ranking"]


@cache
def format_of(name: str) -> Format:
    """The format of that name."""
    return load_bundle(JudgeConfig().bundle).formats[name]


@cache
def prompt_of(name: str, made_of: str) -> Prompt:
    """Its prompt about candidates of a kind."""
    return load_bundle(JudgeConfig().bundle).prompt(name, made_of)
