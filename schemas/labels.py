"""labels v1: one row for each input row, whatever became of it."""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa

from schemas.contract import versioned


class Status(StrEnum):
    """What became of an input row."""

    LABELED = "labeled"
    TIE = "tie"
    ABSTAINED = "abstained"
    QUARANTINED = "quarantined"


class Reason(StrEnum):
    """Why a row is quarantined, or why one reply could not be read."""

    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    OUT_OF_RANGE = "out_of_range"
    MEDIA_MISSING = "media_missing"
    MEDIA_CORRUPT = "media_corrupt"
    MEDIA_TOO_LARGE = "media_too_large"
    MEDIA_FORBIDDEN = "media_forbidden"
    TOO_LONG = "too_long"
    ENGINE_KILLED = "engine_killed"
    TIMEOUT = "timeout"
    BAD_ROW = "bad_row"


VERDICT = "verdict"  # the outcome of a vote whose reply was read; any other outcome is a Reason

VOTE = pa.struct(
    [
        ("order", pa.string()),  # "ab" or "ba": which response the judge saw first
        ("seed", pa.int64()),
        ("score_a", pa.float64()),  # mapped back: always the score of response_a
        ("score_b", pa.float64()),
        ("choice", pa.string()),  # "a", "b" or "tie" by this vote alone; null if unreadable
        ("outcome", pa.string()),  # VERDICT, or the Reason why the reply could not be read
        ("finish_reason", pa.string()),
        ("rationale", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("cached_tokens", pa.int32()),
    ]
)

LABELS = versioned(
    "labels/v1",
    pa.schema(
        [
            ("label_id", pa.string()),
            ("pair_id", pa.string()),
            ("pair_hash", pa.string()),
            ("judge_id", pa.string()),
            ("shard", pa.string()),  # path relative to the input root
            ("unit", pa.string()),
            ("row", pa.int64()),  # row number within the shard, from 0
            ("status", pa.string()),
            ("reason", pa.string()),
            ("detail", pa.string()),
            ("preference", pa.string()),  # "a" or "b", only where status is "labeled"
            ("p_a", pa.float64()),
            ("p_a_raw", pa.float64()),
            ("margin", pa.float64()),  # mean of score_a - score_b over readable votes
            ("confidence", pa.float64()),
            ("position_consistent", pa.bool_()),
            ("n_votes", pa.int32()),
            ("rationale", pa.string()),
            ("votes", pa.list_(VOTE)),
            ("judged_at", pa.timestamp("us", tz="UTC")),
            ("run_id", pa.string()),
        ]
    ),
)
