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
    """Why a row is quarantined, or why one reply could not be parsed."""

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


VERDICT = "verdict"  # the outcome of a vote with a readable reply; any other is a Reason

VOTE = pa.struct(
    [
        # The candidates in the order shown: "ab" or "ba" of a pair; of more candidates a
        # permutation such as "dcba"; "a" of a single one.
        ("order", pa.string()),
        ("seed", pa.int64()),
        ("score_a", pa.float64()),  # mapped back: always the score of response_a
        ("score_b", pa.float64()),
        ("scores", pa.list_(pa.float64())),  # of every candidate, where there may be more than two
        # The option chosen, mapped back: "a", "b", "both_good" or "both_bad"; null where the
        # format asks for scores.
        ("option", pa.string()),
        ("choice", pa.string()),  # of a pair: "a", "b" or "tie" by this vote alone
        ("outcome", pa.string()),  # VERDICT, or the Reason why the reply could not be parsed
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
            ("preference", pa.string()),  # "a" or "b", only where a pair's status is "labeled"
            ("tie_kind", pa.string()),  # "good" or "bad" where the votes for a tie say so
            ("p_a", pa.float64()),  # calibrated on gold pairs; null without a calibration
            ("p_a_raw", pa.float64()),  # share of votes for response_a, ties counting half
            ("margin", pa.float64()),  # mean of score_a - score_b over readable votes
            ("scores", pa.list_(pa.float64())),  # each candidate's mean over readable votes
            # that the label is right; see pipeline.aggregation.decisions
            ("confidence", pa.float64()),
            ("position_consistent", pa.bool_()),  # both orders, each alone, give the same label
            ("n_votes", pa.int32()),
            ("rationale", pa.string()),
            ("votes", pa.list_(VOTE)),
            ("policy_id", pa.string()),  # of the policy and calibration that made the label
            ("judged_at", pa.timestamp("us", tz="UTC")),
            ("run_id", pa.string()),
        ]
    ),
)
