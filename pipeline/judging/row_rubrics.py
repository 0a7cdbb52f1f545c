"""Rubrics of single rows: read from a pair's metadata, and stored with its label."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.rubric_config import RubricConfig
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from schemas.validation_faults import first_faults

MOST_CRITERIA = 32  # more of them than a judge keeps apart in one reply
_MOST_CHARACTERS = 32_768


def row_rubric(pair: Mapping[str, Any], judge: JudgeConfig) -> RubricConfig | None:
    """The rubric that a row has of its own; None where it is asked by the judge's.

    Args:
        pair: a row of pairs v2.
        judge: its rubric's ``metadata`` names the key.

    Raises:
        RowRejected: bad_row: the row's rubric is none, or neither the row nor the judge has one.
    """
    if judge.rubric is None or judge.rubric.metadata is None:
        return None
    key = judge.rubric.metadata
    stated = [each["value"] for each in pair["metadata"] or () if each and each["key"] == key]
    stated = [each for each in stated if each and each.strip()]
    if len(stated) > 1:
        raise _bad(key, f"given {len(stated)} times")
    if stated:
        return _read(key, stated[0], judge)
    if not judge.rubric.criteria:
        raise _bad(key, "the row has none, and judge.rubric.criteria has none for such rows")
    return None


def asked_hash(content: str, rubric: RubricConfig | None) -> str:
    """The hash of what is asked about a pair: its rubric is a part of it, as its texts are.

    Args:
        content: the pair's own hash.
        rubric: of its row.
    """
    return content if rubric is None else digest(content, "rubric", rubric.identity)


def rubric_text(rubric: RubricConfig) -> str:
    """A row's rubric as its label stores it."""
    stated = rubric.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(stated, sort_keys=True, ensure_ascii=False)


@lru_cache(4_096)
def stored_rubric(text: str) -> RubricConfig:
    """The rubric that a label stores."""
    return RubricConfig.model_validate_json(text)


def _read(key: str, text: str, judge: JudgeConfig) -> RubricConfig:
    if len(text) > _MOST_CHARACTERS:
        raise _bad(key, f"{len(text):,} characters, expected at most {_MOST_CHARACTERS:,}")
    try:
        stated = json.loads(text)
        rubric = RubricConfig.model_validate(
            {"criteria": stated} if isinstance(stated, list) else stated
        )
        _ = judge.asking(rubric).declared_format  # whether its grammar can tell the criteria apart
    except ValidationError as error:
        raise _bad(key, first_faults(error)) from error
    except (ValueError, RecursionError) as error:
        raise _bad(key, f"not JSON ({error}): {text[:80]!r}") from error
    if rubric.metadata is not None:
        raise _bad(key, "metadata: a row's rubric names no other one")
    if len(rubric.criteria) > MOST_CRITERIA:
        raise _bad(key, f"{len(rubric.criteria)} criteria, expected at most {MOST_CRITERIA}")
    return rubric


def _bad(key: str, why: str) -> RowRejected:
    return RowRejected(Reason.BAD_ROW, f"the rubric in metadata {key!r}: {why}")
